"""Build the corpus of music and sounds in stereo: free recordings of Debian packages, and renders of `render.py` if there are any.

Writes two files into the cache folder:
  corpus.i16   all recordings one after another, 48 kHz, interleaved pairs of 16 bits, little endian
  index.json   one row a recording: source, file, kind (music | sound), split (train | test), offset, samples
and prints the hours of each source. Of a recording at most the first 110 s are taken. Whole packages are the test split, scores of
five composers, and every 25th sound.
"""
import argparse
import hashlib
import json
import subprocess
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from fetch import package

RATE = 48000
SECONDS = 110
AUDIO = (".ogg", ".wav", ".flac", ".opus", ".mp3")
# Licences as the packages state them; whole games hold files of several.
LICENCES = {
    "colobot-common-sounds": "GPL-3", "freedroidrpg-data": "GPL-2+", "fretsonfire-songs-muldjord": "own, free to copy",
    "fretsonfire-songs-sectoid": "MIT-like", "hedgewars-data": "GPL-2", "hydrogen-drumkits": "GPL-2+ and CC",
    "hyperrogue-music": "CC BY-SA 3.0 and others", "lomiri-sounds": "CC BY-SA and others", "marsshooter-data": "CC BY / BY-SA",
    "naev-data": "CC BY / BY-SA / PD", "qabcs": "GPL-2+", "scratch": "CC BY-SA 2.0", "singularity-music": "CC BY-SA 3.0",
    "sonic-pi-samples": "CC0", "starfighter-data": "CC BY-SA / PD and others", "tuxpaint-data": "GPL-2+",
    "unknown-horizons": "CC BY-SA 3.0 and others", "warzone2100-music": "GPL-2+ / CC0", "wesnoth-1.16-music": "GPL-2",
    "widelands-data": "GPL-2+",
}
SOUNDS = {"colobot-common-sounds", "hydrogen-drumkits", "lomiri-sounds", "qabcs", "scratch", "sonic-pi-samples", "tuxpaint-data"}
TEST = {"freedroidrpg-data", "hyperrogue-music", "sonic-pi-samples"}
TEST_COMPOSERS = {"chopin", "corelli", "haydn", "joplin", "webern"}
RENDER = "render"
# Told stories among the music of the test split.
SPOKEN = {"EndOfAct.ogg", "First_Contact_Sound_3.ogg", "GameLost.ogg", "StartOfGame.ogg"}


def files(cache, packages, renders):
    for name in packages:
        for path in sorted(package(name, cache).rglob("*")):
            spoken = path.name in SPOKEN or "/voices/" in path.as_posix() or "Taunts" in path.as_posix()
            if path.suffix.lower() in AUDIO and not path.is_symlink() and not spoken:
                yield name, path
    for path in sorted(renders.glob("*.flac")) if renders else ():
        yield RENDER, path


def decode(job):
    """[samples, 2] int16"""
    form = ["-t", str(SECONDS), "-f", "s16le", "-ac", "2", "-ar", str(RATE)]
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(job[1]), *form, "-"], capture_output=True).stdout
    return np.frombuffer(raw[: len(raw) // 4 * 4], "<i2").reshape(-1, 2)


def is_test(source, path, kind):
    if source == RENDER:
        return path.stem.split("-")[0] in TEST_COMPOSERS
    # By the hash of the name: the same wherever the list is made.
    return source in TEST or kind == "sound" and int(hashlib.sha1(path.name.encode()).hexdigest(), 16) % 25 == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/general"))
    parser.add_argument("--renders", type=Path, help="folder of render.py")
    parser.add_argument("--packages", nargs="*", default=sorted(LICENCES))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    rows, offset, hours = [], 0, defaultdict(float)
    jobs = list(files(args.cache, args.packages, args.renders))
    with open(args.cache / "corpus.i16", "wb") as out, ThreadPoolExecutor(2) as pool:
        # In pieces: `map` would decode everything before it is written.
        for start in range(0, len(jobs), 32):
            piece = jobs[start: start + 32]
            for (source, path), pcm in zip(piece, pool.map(decode, piece)):
                if len(pcm) < RATE // 4 or np.abs(pcm.astype(np.int32)).max() < 300:
                    continue
                long = source == RENDER or len(pcm) > 25 * RATE
                kind = "music" if long and source not in SOUNDS else "sound"
                row = {"source": source, "file": path.name, "kind": kind, "offset": offset, "samples": len(pcm),
                       "split": "test" if is_test(source, path, kind) else "train"}
                rows.append(row)
                hours[source, row["split"], kind] += len(pcm) / RATE / 3600
                pcm.tofile(out)
                offset += len(pcm)
    (args.cache / "index.json").write_text(json.dumps(rows))
    print("| source | split | kind | hours | licence |\n|---|---|---|---|---|")
    for (source, split, kind), value in sorted(hours.items()):
        licence = LICENCES.get(source, "scores out of copyright, fluid-soundfont-gm: MIT")
        print(f"| {source} | {split} | {kind} | {value:.2f} | {licence} |")


if __name__ == "__main__":
    main()
