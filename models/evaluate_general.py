"""Compare the codec of general sound with Opus, in stereo at 48 kHz, on clips that it was not trained on.

  python models/evaluate_general.py --program target/release/siskin --write docs/general-audio.md

Needs the cache of `models/data/general.py`, FFmpeg with libopus, and `visqol-python`.
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from siskin_eval import tables, tones
from siskin_eval.codecs import base
from siskin_eval.general import MEASURES, clips

# Channels that are given to it.
OPUS = {"opus": 2, "opus-mono": 1}
FRESH = ("hyperrogue-music", "freedroidrpg-data", "sonic-pi-samples", "render")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--corpus", type=Path, default=Path(".siskin/general"))
    p.add_argument("--program", type=Path, default=Path("target/release/siskin"))
    p.add_argument("--codec", nargs="+", metavar="NAME:RATE",
                   default=["audio-48k:6000", "audio-48k:12000", "audio-48k:16000", "opus-mono:12000",
                            "opus:12000", "opus:16000", "opus:24000", "opus:32000", "speech-24k:9000"],
                   help="opus, opus-mono, or a bundle by name or path")
    p.add_argument("--tones", nargs="*", metavar="NAME:RATE", help="whose steady tones are listened to",
                   default=["audio-48k:12000", "opus:12000", "opus:16000", "speech-24k:6000"])
    p.add_argument("--seconds", type=float, default=8)
    p.add_argument("--count", type=int, help="about so many clips, spread over all")
    p.add_argument("--cache", type=Path, default=Path(".siskin/general-scores.json"))
    p.add_argument("--write", type=Path, help="Markdown file whose marked table is replaced")
    return p.parse_args()


def fingerprint(codec, program):
    """Changes when the output may change: scores are stored under it."""
    name = codec.rsplit(":", 1)[0]
    if name in OPUS:
        return codec
    folder = Path(name) if "/" in name else base.ROOT / "models/bundles" / name
    return f"{codec} {base.digest(folder / 'manifest.json', program)}"


def code(program, codec, clip, folder):
    """The clip [2, samples] after coding, and the bytes of its packets."""
    name, rate = codec.rsplit(":", 1)
    source, back = folder / "in.wav", folder / "out.wav"
    sf.write(source, clip.T, 48000, subtype="PCM_16")
    coded = folder / ("c.opus" if name in OPUS else "c.mka")
    if name in OPUS:
        quiet = ("ffmpeg", "-v", "error", "-y", "-i")
        base.run([*quiet, source, "-c:a", "libopus", "-ac", OPUS[name], "-b:a", rate, coded])
        base.run([*quiet, coded, "-c:a", "pcm_s16le", "-ar", "48000", "-ac", "2", back])
    else:
        base.run([program, "encode", "-q", "--model", name, "-b", rate, source, coded])
        base.run([program, "decode", "-q", *(["--model", name] if "/" in name else []), coded, back])
    sizes = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "packet=size", "-of", "csv=p=0",
                            str(coded)], check=True, capture_output=True, text=True).stdout.split()
    out, got = sf.read(back, dtype="float32", always_2d=True)
    if got != 48000:
        out = resample_poly(out, 48000 // np.gcd(48000, got), got // np.gcd(48000, got)).astype(np.float32)
    out = out if out.shape[1] == 2 else np.repeat(out, 2, 1)
    size = clip.shape[1]
    return np.pad(out, ((0, max(0, size - len(out))), (0, 0)))[:size].T, sum(int(s.split(",")[0]) for s in sizes)


def main():
    args = arguments()
    known = json.loads(args.cache.read_text()) if args.cache.exists() else {}
    chosen = clips(args.corpus, FRESH, args.seconds)
    chosen = chosen[:: max(1, len(chosen) // (args.count or len(chosen)))]

    def score(codec, name, clip):
        key = f"{fingerprint(codec, args.program)} {name}"
        if key not in known:
            with tempfile.TemporaryDirectory() as folder:
                out, size = code(args.program, codec, clip, Path(folder))
            known[key] = {"kb/s": size * 8 / (clip.shape[1] / 48000) / 1000} | {m: f(clip, out) for m, f in MEASURES.items()}
        return known[key]

    rows = {}
    for codec in args.codec:
        scores = [score(codec, *c) for c in chosen]
        rows[codec] = {m: float(np.nanmean([s[m] for s in scores])) for m in scores[0]}
        print(codec, " ".join(f"{m} {v:.2f}" for m, v in rows[codec].items()), flush=True)
        args.cache.write_text(json.dumps(known))
    columns = [("codec", "codec", 0), *((name, name, 2) for name in next(iter(rows.values())))]
    table = tables.markdown([{"codec": title(codec)} | row for codec, row in rows.items()], columns)
    print(table)
    lines = tables.markdown(tone_rows(args), [("hz", "Hz", 0), *((title(c), title(c), 0) for c in args.tones)])
    print(lines)
    if args.write:
        text = f"{len(chosen)} clips, {len(chosen) * args.seconds / 60:.1f} minutes, of {', '.join(FRESH)}.\n\n{table}"
        written = tables.replace_section(args.write.read_text(), "scores", text)
        args.write.write_text(tables.replace_section(written, "tones", lines))


def tone_rows(args):
    """A steady tone in both channels, of each frequency: level / all else below, of the left one."""
    out = [{"hz": str(f)} for f in tones.FREQUENCIES]
    for row, frequency in zip(out, tones.FREQUENCIES):
        clip = np.repeat(tones.tone(frequency, 48000)[None], 2, 0)
        for codec in args.tones:
            with tempfile.TemporaryDirectory() as folder:
                row[title(codec)] = tones.cell(code(args.program, codec, clip, Path(folder))[0][0], frequency, 48000)
    return out


def title(codec):
    name, rate = codec.rsplit(":", 1)
    return f"{ {'opus': 'Opus', 'opus-mono': 'Opus mono'}.get(name, Path(name).name)} {int(rate) / 1000:g}k"


if __name__ == "__main__":
    main()
