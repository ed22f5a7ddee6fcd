#!/usr/bin/env python3
"""Prints the licences of all crates that are linked into the named packages of the workspace, for those who get a binary.

  scripts/third_party.py siskin gst-plugin-siskin

Crates with the same text are named together above it.
"""
import argparse
import json
import pathlib
import subprocess
import sys

NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def linked(metadata, roots):
    """The crates that the roots need at run time, without those of the workspace."""
    packages = {p["id"]: p for p in metadata["packages"]}
    nodes = {n["id"]: n for n in metadata["resolve"]["nodes"]}
    waiting = [p["id"] for p in metadata["packages"] if p["name"] in roots and p["source"] is None]
    found = set()
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        found.add(at)
        for dep in nodes[at]["deps"]:
            is_macro = any("proc-macro" in t["kind"] for t in packages[dep["pkg"]]["targets"])
            if any(k["kind"] is None for k in dep["dep_kinds"]) and not is_macro:
                waiting.append(dep["pkg"])
    return sorted((packages[i] for i in found if packages[i]["source"]), key=lambda p: (p["name"], p["version"]))


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.name.upper().startswith(NAMES):
            yield file.read_text(errors="replace").strip()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("package", nargs="+")
    args = p.parse_args()
    host = next(line.split()[1] for line in output("rustc", "-vV").splitlines() if line.startswith("host:"))
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    metadata = json.loads(output(*command))
    crates = linked(metadata, args.package)
    if not crates:
        sys.exit(f"no crates are linked into {' '.join(args.package)}")
    by_text = {}
    print(f"{len(crates)} crates are linked into {' and '.join(args.package)}:\n")
    for crate in crates:
        print(f"{crate['name']} {crate['version']}: {crate['license'] or 'see its text'}")
        for text in texts(crate):
            by_text.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    for text, names in by_text.items():
        print(f"\n{'=' * 100}\n{', '.join(names)}\n{'-' * 100}\n{text}")


if __name__ == "__main__":
    main()
