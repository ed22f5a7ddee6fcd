#!/usr/bin/env python3
"""Whether every dependency builds with the Rust that Cargo.toml states.

Prints those that state a later one. What they do not state, or state wrongly, only a build with that Rust would tell.
"""
import json
import subprocess
import sys


def version(text):
    """Three numbers: 1.94 and 1.94.0 are the same."""
    numbers = [int(n) for n in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    packages = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["packages"]
    own = {p["rust_version"] for p in packages if p["source"] is None}
    if len(own) != 1 or None in own:
        sys.exit(f"the workspace's crates state several versions: {own}")
    stated = own.pop()
    newer = [p for p in packages if p["rust_version"] and version(p["rust_version"]) > version(stated)]
    for p in newer:
        print(f"{p['name']} {p['version']} needs Rust {p['rust_version']}", file=sys.stderr)
    if newer:
        sys.exit(f"Cargo.toml states rust-version {stated}")
    print(f"{len(packages)} packages, none needs more than Rust {stated}")


if __name__ == "__main__":
    main()
