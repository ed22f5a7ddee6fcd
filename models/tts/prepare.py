"""Measure and align speech with transcripts: FOLDER/metadata.csv (`id|text` or `id|voice|language|text`) and FOLDER/id.flac.

  python models/tts/prepare.py --speech /data/kerstin:de:kerstin --speech /data/kokoro --out .siskin/tts/data

A folder is PATH[:LANGUAGE:SPEAKER]; those in the environment variable SISKIN_TTS_SPEECH (separated by blanks) are added.
A folder that is not there is skipped with a notice. Writes one `.npz` a speaker's folder with everything that training needs.
"""
import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile as sf
from align import align
from features import HOP, RATE, cepstra, fundamental, log_mel
from text import phonemes, units

LANGUAGES = {"en": "en-us", "pt": "pt-br", "fr": "fr-fr", "zh": "cmn"}
# Every 25th line of `metadata.csv` is for the tests; `wer.py` counts the same way.
HELD_OUT = 25
LONGEST = 12.0


def rows_of(folder, language, speaker):
    for number, line in enumerate((folder / "metadata.csv").read_text().splitlines()):
        parts = line.split("|")
        if len(parts) == 4:
            name, voice, lang, text = parts
            lang = "en-gb" if lang == "en" and voice.startswith("b") else LANGUAGES.get(lang, lang)
        else:
            (name, text), voice, lang = parts[:2], speaker, language
        yield name, voice, lang, text, number % HELD_OUT == 0


def measure(folder, row):
    name, voice, lang, text, test = row
    pcm, rate = sf.read(folder / f"{name}.flac", dtype="float32")
    if rate != RATE or pcm.ndim != 1:
        raise SystemExit(f"{folder / name}.flac: {rate} Hz, {pcm.ndim} dimensions; wanted: {RATE} Hz mono")
    pcm = pcm[: len(pcm) // HOP * HOP]
    tokens = "#" + phonemes(text, lang) + "#"
    if not 0.5 <= len(pcm) / RATE <= LONGEST or len(tokens) < 5:
        return None
    f0, phase = fundamental(pcm)
    return {"name": name, "voice": voice, "language": lang, "text": text, "tokens": tokens, "test": test, "pcm": pcm,
            "mel": log_mel(pcm), "f0": f0, "phase": phase, "cepstra": cepstra(pcm)}


def durations(found, clip):
    """Frames at 50 Hz of every token, from the units' frames at 100 Hz; they sum to the clip's frames."""
    out = np.zeros(len(clip["tokens"]), np.int16)
    edges = np.minimum(np.round(np.cumsum(found) / 2), len(clip["mel"])).astype(int)
    edges[-1] = len(clip["mel"])
    for (position, _), frames in zip(units(clip["tokens"]), np.diff(np.concatenate([[0], edges]))):
        out[position] = frames
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--speech", action="append", default=[], metavar="PATH[:LANGUAGE:SPEAKER]")
    p.add_argument("--out", type=Path, default=Path(".siskin/tts/data"))
    p.add_argument("--rounds", type=int, default=12)
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for given in args.speech + os.environ.get("SISKIN_TTS_SPEECH", "").split():
        path, language, speaker = (given.split(":") + ["de", Path(given.split(":")[0]).name])[:3]
        folder = Path(path)
        if not (folder / "metadata.csv").is_file():
            print(f"skipped: {folder} has no metadata.csv", file=sys.stderr)
            continue
        with ThreadPoolExecutor(2) as pool:
            clips = [c for c in pool.map(lambda r, folder=folder: measure(folder, r), rows_of(folder, language, speaker)) if c]
        found = align([(c.pop("cepstra"), [(c["tokens"][i], o) for i, o in units(c["tokens"])]) for c in clips], args.rounds)
        kept = [(c, durations(d, c)) for c, d in zip(clips, found) if d is not None]
        save(args.out / f"{folder.name}.npz", kept)
        frames = sum(len(c["mel"]) for c, _ in kept)
        print(f"{folder.name}: {len(kept)} of {len(clips)} sentences aligned, {frames * HOP / RATE / 3600:.2f} h")


def save(path, kept):
    """Everything end to end, with the offsets of the clips."""
    clips = [c for c, _ in kept]
    info = [{k: c[k] for k in ("name", "voice", "language", "text", "tokens", "test")} |
            {"frames": len(c["mel"])} for c in clips]
    np.savez(path, info=json.dumps(info), durations=np.concatenate([d for _, d in kept]),
             mel=np.concatenate([c["mel"] for c in clips]).astype(np.float16),
             f0=np.concatenate([c["f0"] for c in clips]), phase=np.concatenate([c["phase"] for c in clips]),
             pcm=np.concatenate([np.round(c["pcm"] * 32767).astype(np.int16) for c in clips]))


if __name__ == "__main__":
    main()
