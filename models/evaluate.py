"""Measure a bundle on speakers it was not trained on: PESQ-WB, STOI and SI-SDR at every prefix.

Runs the exported ONNX graphs frame by frame. Prints a Markdown table; `--write` puts the figures into the manifest.

  python models/evaluate.py --write
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
from pesq import pesq
from pystoi import stoi
from scipy.signal import resample_poly

from siskin_models.bundle import Bundle
from siskin_models.data import Corpus

RATE = 24000


def clips(corpus, per_speaker, seconds=5.0):
    """(speaker, pcm) of held-out speech; short recordings of a speaker are joined until `seconds` are full."""
    rng = np.random.default_rng(7)
    groups = {}
    for row in corpus.rows:
        if row["kind"] == "speech":
            groups.setdefault(f"{row['source']}/{row['speaker']}", []).append(row)
    for who, rows in sorted(groups.items()):
        order, found, parts = rng.permutation(len(rows)), 0, []
        for i in order:
            parts.append(corpus.clip(rows[i]))
            if sum(map(len, parts)) >= seconds * RATE:
                yield who, np.concatenate(parts)[: int(1.6 * seconds * RATE)]
                found, parts = found + 1, []
                if found == per_speaker:
                    break


def si_sdr(reference, output):
    scaled = (reference @ output) / (reference @ reference) * reference
    return 10 * np.log10((scaled @ scaled) / ((output - scaled) @ (output - scaled) + 1e-9))


def measure(reference, output):
    low = [resample_poly(v, 2, 3) for v in (reference, output)]
    return pesq(16000, *low, "wb"), stoi(reference, output, RATE), si_sdr(reference, output)


def opus(pcm, bitrate):
    """Opus by ffmpeg's libopus, voice mode, 20 ms frames, delay removed by ffmpeg; and the file's real bit/s."""
    with tempfile.TemporaryDirectory() as tmp:
        a, b, c = (str(Path(tmp) / n) for n in ("a.wav", "b.opus", "c.wav"))
        sf.write(a, pcm, RATE)
        run = ["ffmpeg", "-v", "error", "-y", "-i"]
        subprocess.run([*run, a, "-c:a", "libopus", "-b:a", str(bitrate), "-application", "voip", b], check=True)
        subprocess.run([*run, b, "-ar", str(RATE), c], check=True)
        out = sf.read(c, dtype="float32")[0]
        return np.pad(out, (0, max(0, len(pcm) - len(out))))[: len(pcm)], 8 * Path(b).stat().st_size * RATE / len(pcm)


def program(siskin, bundle, pcm, stages):
    """What the program makes of a clip in a file of its own: samples, and bit/s on disk with the container."""
    with tempfile.TemporaryDirectory() as tmp:
        a, b, c = (str(Path(tmp) / n) for n in ("a.wav", "b.mka", "c.f32"))
        sf.write(a, pcm, RATE, subtype="FLOAT")
        model = ["-q", "-y", "--model", str(bundle)]
        subprocess.run([siskin, "encode", *model, "--codebooks", str(stages), a, b], check=True)
        subprocess.run([siskin, "decode", *model, b, c], check=True)
        return np.fromfile(c, "<f4"), 8 * Path(b).stat().st_size * RATE / len(pcm)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/speech-24k"))
    parser.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    parser.add_argument("--per-speaker", type=int, default=6)
    parser.add_argument("--opus", type=int, nargs="*", default=[], metavar="BPS", help="measure Opus at these rates too")
    parser.add_argument("--program", metavar="SISKIN", help="measure this program's files too, beam search and all")
    parser.add_argument("--write", action="store_true", help="store the figures in the manifest")
    args = parser.parse_args()
    bundle = Bundle(args.bundle)
    prefixes = bundle.manifest["prefixes"]
    rows, speakers, real, count = {}, {}, {}, 0
    for who, pcm in clips(Corpus(args.corpus, "test"), args.per_speaker):
        count += 1
        outputs = {("siskin", p["bitrate"]): out for p, out in
                   zip(prefixes, bundle.roundtrip(pcm, [p["stages"] for p in prefixes]).values())}
        outputs["identity", 0] = pcm
        for p in prefixes if args.program else []:
            key = "siskin program", p["bitrate"]
            outputs[key], rate = program(args.program, args.bundle, pcm, p["stages"])
            real.setdefault(key, []).append(rate)
        for bitrate in args.opus:
            outputs["opus", bitrate], rate = opus(pcm, bitrate)
            real.setdefault(("opus", bitrate), []).append(rate)
        for key, out in outputs.items():
            rows.setdefault(key, []).append(measure(pcm, out))
        speakers.setdefault(who, []).append(rows["siskin", 6000][-1])
    print(f"{count} clips, {len(speakers)} unseen speakers or groups\n")
    print("| codec | bit/s | PESQ-WB | STOI | SI-SDR dB |\n|---|---|---|---|---|")
    for (name, bitrate), values in rows.items():
        rate = round(np.mean(real.get((name, bitrate), bitrate)))
        print(f"| {name} | {rate} | " + " | ".join(f"{v:.3f}" for v in np.mean(values, 0)) + " |")
    print("\n| speaker, 6 kb/s | PESQ-WB | STOI | SI-SDR dB |\n|---|---|---|---|")
    for who, values in speakers.items():
        print(f"| {who} | " + " | ".join(f"{v:.3f}" for v in np.mean(values, 0)) + " |")
    if args.write:
        path = args.bundle / "manifest.json"
        info = json.loads(path.read_text())
        info["figures"] = [
            {"stages": p["stages"], "bitrate": p["bitrate"], "clips": count,
             **dict(zip(("pesq_wb", "stoi", "si_sdr"), np.round(np.mean(rows["siskin", p["bitrate"]], 0), 3).tolist()))}
            for p in prefixes]
        path.write_text(json.dumps(info, indent=2) + "\n")


if __name__ == "__main__":
    main()
