"""Build the training corpus: free recordings from Debian packages plus folders of speech given by hand.

Writes three files into the cache folder:
  corpus.i16   all recordings one after another, 24 kHz mono, 16-bit little endian
  index.json   one row a recording: source, speaker, kind (speech | music), split (train | test), offset, samples
  corpus.md    table of hours, speakers, languages, licences (`table.py`)
Speakers of the test split never occur in the train split.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly
from table import LICENCES, table

RATE = 24000
MUSIC = {"warzone2100-music", "wesnoth-1.16-music"}
# Kokoro is synthetic speech; its voices are speakers like any other.
TEST = re.compile(
    r"^(asterisk-core-sounds-(it|fr)-g722/.*"
    r"|tuxpaint-stamps-default/(be|el)"
    r"|kajongg/(de-)?(male2|female2)"
    r"|kokoro/(am_puck|bm_george|af_nova|bf_emma)"
    r"|wesnoth-1.16-music/(knolls|wanderer))$"
)
SKIP = re.compile(r"/silence/|/Robot/|/Singer/|/Sounds/[^/]*\.ogg$|tone-indications|beep|vm-.*tone")
AUDIO = (".ogg", ".wav", ".flac", ".opus", ".g722", ".mp3")


def speaker(source, path):
    """The label that decides the split: as fine as the package tells speakers apart."""
    parts = path.parts
    if source.startswith("asterisk"):
        return next(p for p in parts if re.match(r"[a-z]{2}_[A-Z]{2}_[mf]_", p))
    if source == "tuxpaint-stamps-default":
        hit = re.search(r"_desc_([a-zA-Z_]+)\.\w+$", path.name)
        return hit.group(1) if hit else None
    if source == "klettres-data":
        return parts[parts.index("klettres") + 1]
    if source == "ktuberling-data":
        return parts[parts.index("sounds") + 1]
    if source == "hedgewars-data":
        return parts[parts.index("voices") + 1] if "voices" in parts else None
    if source == "kajongg":
        return ("de-" if "de" in parts else "") + path.parent.name
    if source.startswith("fillets") or source == "festvox-ru":
        return source
    if source in MUSIC:
        return path.stem
    return path.stem.split("-")[0] if "kokoro" in source else source


def decode(path):
    """One file as int16 at RATE; G.722 has no header, so ffmpeg is told what it is."""
    try:
        if path.suffix == ".g722":
            raw = subprocess.run(
                ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-ar", "16000", "-"],
                check=True, capture_output=True).stdout
            audio, rate = np.frombuffer(raw, "<i2").astype(np.float32) / 32768, 16000
        else:
            audio, rate = sf.read(path, dtype="float32", always_2d=True, frames=90 * 48000)
            audio = audio.mean(1)
    except (sf.LibsndfileError, subprocess.CalledProcessError):
        return None
    if rate != RATE:
        g = np.gcd(RATE, rate)
        audio = resample_poly(audio, RATE // g, rate // g).astype(np.float32)
    peak = float(np.abs(audio).max(initial=0.0))
    if len(audio) < RATE // 5 or peak < 0.01:
        return None
    return np.round(np.clip(audio / max(peak, 0.95) * 0.95, -1, 1) * 32767).astype("<i2")


def package(name, cache):
    """Download and unpack one Debian package below the cache; nothing is installed."""
    root = cache / "packages" / name
    if not root.exists():
        root.parent.mkdir(exist_ok=True)  # dpkg makes the last folder only
        with tempfile.TemporaryDirectory(dir=cache) as tmp:
            subprocess.run(["apt-get", "download", "-q", name], check=True, cwd=tmp)
            subprocess.run(["dpkg", "-x", str(next(Path(tmp).glob("*.deb"))), str(root)], check=True)
    return root


def listing(source, root):
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in AUDIO and not SKIP.search(path.as_posix()):
            who = speaker(source, path)
            if who:
                yield source, who, path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/corpus"))
    parser.add_argument("--speech", type=Path, action="append", default=[], help="a folder of speech (repeatable)")
    parser.add_argument("--packages", nargs="*", default=list(LICENCES))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    extra = args.speech + [Path(p) for p in os.environ.get("SISKIN_SPEECH_DIRS", "").split(":") if p]

    jobs = []
    for folder in extra:
        jobs += listing(folder.name, folder)
    for name in args.packages:
        jobs += listing(name, package(name, args.cache))

    # Recordings of one speaker lie side by side, so that a crop may run over the end of a short one.
    jobs.sort(key=lambda job: (job[0], job[1], str(job[2])))
    rows, offset = [], 0
    with open(args.cache / "corpus.i16", "wb") as out, ProcessPoolExecutor(2) as pool:
        for (source, who, path), audio in zip(jobs, pool.map(decode, [j[2] for j in jobs], chunksize=16)):
            if audio is None:
                continue
            key = f"{source}/{who}"
            rows.append({"source": source, "speaker": who, "file": path.name,
                         "kind": "music" if source in MUSIC else "speech",
                         "split": "test" if TEST.match(key) else "train",
                         "offset": offset, "samples": len(audio)})
            audio.tofile(out)
            offset += len(audio)
    (args.cache / "index.json").write_text(json.dumps(rows))
    (args.cache / "corpus.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
