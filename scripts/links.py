#!/usr/bin/env python3
"""Whether the links of the Markdown files to files of the repository, and to headings in them, lead somewhere."""
import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(path):
    """The names that headings get: lower case, words joined by hyphens, punctuation dropped."""
    text = FENCED.sub("", path.read_text())
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in HEADING.findall(text)}


def main():
    files = subprocess.run(["git", "ls-files", "*.md"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    broken = []
    for name in files:
        path = pathlib.Path(name)
        for target in LINK.findall(FENCED.sub("", path.read_text())):
            if "://" in target or target.startswith("mailto:"):
                continue
            file, _, anchor = target.partition("#")
            to = (path.parent / file) if file else path
            if not to.exists():
                broken.append(f"{name}: {target}: no such file")
            elif anchor and to.suffix == ".md" and anchor not in anchors(to):
                broken.append(f"{name}: {target}: no such heading")
    print("\n".join(broken) or f"{len(files)} files, all links lead somewhere", file=sys.stderr if broken else sys.stdout)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
