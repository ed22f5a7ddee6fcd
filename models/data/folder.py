"""Build a training corpus from any folder of recordings.

Writes into the corpus folder what `fetch.py` writes for ours, at any rate: corpus.i16, index.json, and skipped.jsonl with what
was left out and why. The folder that a recording lies in is taken for its speaker. Needs ffmpeg and ffprobe.

  python models/data/folder.py RECORDINGS --corpus OUT --rate 24000
"""
import argparse
import hashlib
import json
import os
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ENDINGS = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mka", ".mkv", ".mp4", ".mov", ".webm", ".aiff",
           ".aif", ".caf", ".wma", ".amr"}
PIECE = 600           # seconds that are decoded at once: 58 MB at 48 kHz
SHORTEST = 0.2        # seconds
QUIETEST = 0.01       # peak of full scale
TEST_SHARE = 0.05     # of the sound, by whole speakers where there are four or more, else by files
LEAST = 30.0          # seconds of sound to train on


def recordings(folder):
    """The recordings below a folder, in the order of their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file())


def run(*command):
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(reason[-1] if reason else f"{command[0]} failed")
    return done.stdout


def seconds_of(path):
    text = run("ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "format=duration", "-of", "csv=p=0", str(path))
    try:
        return float(text)
    except ValueError:
        # Streams without a stated length: one piece, to the end.
        return 0.0


def decode(path, rate):
    """Pieces of a recording as int16 mono at a rate; raises ValueError with the reason."""
    for start in range(0, max(1, int(np.ceil(seconds_of(path) / PIECE))) * PIECE, PIECE):
        raw = run("ffmpeg", "-v", "error", "-nostdin", "-ss", str(start), "-t", str(PIECE), "-i", str(path), "-map", "0:a:0",
                  "-f", "s16le", "-ac", "1", "-ar", str(rate), "-")
        pcm = np.frombuffer(raw, "<i2")
        if len(pcm) >= SHORTEST * rate and np.abs(pcm.astype(np.int32)).max() >= QUIETEST * 32768:
            yield pcm


def attempt(path, rate):
    try:
        pieces = list(decode(path, rate))
    except ValueError as error:
        return [], str(error)
    return pieces, "" if pieces else f"shorter than {SHORTEST} s, or silent"


def fingerprint(folder, paths, rate):
    """What a corpus was made of, so that the same command does not make it twice."""
    lines = [f"{rate}\n"] + [f"{p.relative_to(folder)} {p.stat().st_size} {p.stat().st_mtime_ns}\n" for p in paths]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def build(folder, corpus, rate, workers=None):
    """Writes the corpus unless it is there; returns seconds of train and test."""
    folder, corpus = Path(folder), Path(corpus)
    paths = recordings(folder)
    if not paths:
        raise SystemExit(f"{folder} holds no recordings")
    made_of, note = fingerprint(folder, paths, rate), corpus / "made-of.txt"
    if not (note.exists() and note.read_text() == made_of):
        corpus.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        rows, skipped = write_samples(folder, corpus, paths, rate, workers or os.cpu_count())
        (corpus / "skipped.jsonl").write_text("".join(json.dumps(s) + "\n" for s in skipped))
        label(rows)
        (corpus / "index.json").write_text(json.dumps(rows))
        # Last: a run that was cut off before begins anew.
        note.write_text(made_of)
    seconds = Counter()
    for row in json.loads((corpus / "index.json").read_text()):
        seconds[row["split"]] += row["samples"] / rate
    if seconds["train"] < LEAST:
        raise SystemExit(f"{folder} holds {seconds['train']:.0f} s of sound to train on, {LEAST:.0f} s are needed; what was left "
                         f"out is in {corpus / 'skipped.jsonl'}")
    return dict(seconds)


def write_samples(folder, corpus, paths, rate, workers):
    rows, skipped, offset = [], [], 0
    # Files of one folder lie side by side, so that a crop may run over the end of a short one.
    paths = sorted(paths, key=lambda p: (p.parent, p.name))
    with open(corpus / "corpus.i16", "wb") as out, ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 2 * workers):
            batch = paths[start: start + 2 * workers]
            for path, (pieces, reason) in zip(batch, pool.map(lambda p: attempt(p, rate), batch)):
                name = path.relative_to(folder)
                if reason:
                    skipped.append({"file": str(name), "error": reason})
                for pcm in pieces:
                    rows.append({"source": "folder", "speaker": name.parent.as_posix(), "file": str(name), "kind": "speech",
                                 "split": "train", "offset": offset, "samples": len(pcm)})
                    pcm.tofile(out)
                    offset += len(pcm)
    return rows, skipped


def label(rows):
    """Takes some of the sound for the test split, and names the stretches of each speaker."""
    speakers = sorted({r["speaker"] for r in rows})
    key = "speaker" if len(speakers) >= 4 else "file"
    sizes = Counter()
    for row in rows:
        sizes[row[key]] += row["samples"]
    # By a hash and not by the order: neighbours in a folder are often alike.
    names = sorted(sizes, key=lambda n: hashlib.sha256(n.encode(errors="surrogateescape")).digest())
    test, got = set(), 0
    # Never the last one: there has to be something to train on.
    for name in names[:-1]:
        if got >= TEST_SHARE * sum(sizes.values()):
            break
        test.add(name)
        got += sizes[name]
    stretch, before = 0, None
    for row in rows:
        row["split"] = "test" if row[key] in test else "train"
        # Crops run from a speaker's first row of a split to the last: where one of the other split lies between, it is another
        # stretch, or the test split would be trained on.
        stretch += before is not None and (row["speaker"], row["split"]) != before
        before = row["speaker"], row["split"]
        row["speaker"] = f"{row['speaker']}#{stretch}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    parser.add_argument("--rate", type=int, default=24000)
    args = parser.parse_args()
    print(json.dumps(build(args.folder, args.corpus, args.rate)))


if __name__ == "__main__":
    main()
