"""What the corpus holds: hours, speakers and languages of each source, the share of music; as Markdown.

  python models/data/table.py                     print it from the corpus cache
  python models/data/table.py --write             put it into docs/training.md
"""
import argparse
import json
import re
from pathlib import Path

RATE = 24000
LICENCES = {
    "asterisk-core-sounds-en-g722": "CC BY-SA 3.0",
    "asterisk-core-sounds-es-g722": "CC BY-SA 3.0",
    "asterisk-core-sounds-fr-g722": "CC BY-SA 3.0",
    "asterisk-core-sounds-it-g722": "CC BY-SA 3.0",
    "asterisk-core-sounds-ru-g722": "CC BY-SA 3.0",
    "festvox-ru": "BSD-like",
    "fillets-ng-data-cs": "GPL-2",
    "fillets-ng-data-nl": "GPL-2",
    "hedgewars-data": "GPL-2",
    "kajongg": "GPL-2",
    "klettres-data": "GPL-2+",
    "ktuberling-data": "GPL-2+",
    "tuxpaint-stamps-default": "GPL-2",
    "warzone2100-music": "GPL-2+ / CC0",
    "wesnoth-1.16-music": "GPL-2",
}
# Folders given by hand.
FOLDERS = {"kerstin": "CC0", "kokoro": "synthetic, Kokoro-82M is Apache-2.0"}
KOKORO = {"a": "en", "b": "en", "i": "it", "p": "pt", "e": "es", "f": "fr", "h": "hi", "j": "ja", "z": "zh"}


def language(source, speaker):
    """Two letters (or three), nothing where the package does not tell."""
    if source.startswith("asterisk"):
        return speaker[:2]
    if source in ("klettres-data", "ktuberling-data", "tuxpaint-stamps-default"):
        return re.split(r"[_@]", speaker)[0]
    if source.startswith("fillets-ng-data-") or source == "festvox-ru":
        return source[-2:]
    if source == "hedgewars-data":
        return speaker[-2:] if re.search(r"_[a-z]{2}$", speaker) else "en"
    if source == "kajongg":
        return "de" if speaker.startswith("de-") else ""
    if source == "kerstin":
        return "de"
    return KOKORO.get(speaker[0], "") if source == "kokoro" else ""


def table(rows):
    """Markdown: a row for each source and split, then the totals in words."""
    parts = {}
    for r in rows:
        parts.setdefault((r["source"], r["split"]), []).append(r)
    lines = ["| source | split | hours | files | speakers or groups | languages | licence |", "|---|---|---|---|---|---|---|"]
    for (source, split), members in sorted(parts.items()):
        spoken = languages(members)
        many = f"{len(spoken)}" if len(spoken) > 4 else " ".join(spoken)
        licence = LICENCES.get(source) or FOLDERS.get(source, "see its folder")
        name = source if source in LICENCES else f"{source} (folder)"
        lines.append(f"| {name} | {split} | {hours(members):.2f} | {len(members)} | {len(speakers(members))} "
                     f"| {'music' if members[0]['kind'] == 'music' else many} | {licence} |")
    return "\n".join(lines) + "\n\n" + "".join(total(rows, split) for split in ("train", "test"))


def total(rows, split):
    speech = [r for r in rows if r["split"] == split and r["kind"] == "speech"]
    music = [r for r in rows if r["split"] == split and r["kind"] == "music"]
    share = hours(music) / max(1e-9, hours(speech) + hours(music))
    spoken = languages(speech)
    return (f"- {split}: {hours(speech):.2f} h of speech, {len(speakers(speech))} speakers or groups, {len(spoken)} languages "
            f"({' '.join(spoken)}); {hours(music):.2f} h of music, {100 * share:.1f} % of the whole.\n")


def hours(rows):
    return sum(r["samples"] for r in rows) / RATE / 3600


def speakers(rows):
    return {(r["source"], r["speaker"]) for r in rows}


def languages(rows):
    found = {language(r["source"], r["speaker"]) for r in rows if r["kind"] == "speech"}
    return sorted(x for x in found if x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/corpus"))
    parser.add_argument("--write", action="store_true", help="replace the table of docs/training.md")
    args = parser.parse_args()
    text = table(json.loads((args.cache / "index.json").read_text()))
    print(text)
    if args.write:
        path = Path("docs/training.md")
        before, rest = path.read_text().split("<!-- corpus begin -->\n")
        path.write_text(f"{before}<!-- corpus begin -->\n{text}<!-- corpus end -->{rest.split('<!-- corpus end -->')[1]}")


if __name__ == "__main__":
    main()
