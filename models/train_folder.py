"""Train a codec on a folder of recordings, from files to a bundle with figures. The same command goes on where it stopped.

  python models/train_folder.py RECORDINGS --out .siskin/own --minutes 600
  python models/train_folder.py RECORDINGS --out .siskin/own --start models/bundles/speech-24k --minutes 60
  python models/train_folder.py RECORDINGS --out .siskin/wide --rate 48000 --minutes 600

In the folder `out`: `corpus/` (the samples, and what was left out), `run/` (checkpoint, loss.csv, progress.html, which a browser
shows while the training runs), the bundle under its name, `figures.json`. A longer `--minutes` trains the same run on.
"""
import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile as sf

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "data"))

from folder import build  # noqa: E402

from siskin_eval.metrics import mel_distance, si_sdr  # noqa: E402
from siskin_models.bundle import Bundle  # noqa: E402
from siskin_models.data import Corpus  # noqa: E402
from siskin_models.progress import Progress  # noqa: E402

# 20 ms frames and 10 ms of overlap at each rate, as `speech-24k` has them; what it has besides is its architecture.
ARCHITECTURE = {"enc_depth": 5, "dec_depth": 5, "noise": 24}
RATES = {rate: {"sample_rate": rate, "hop": rate // 50, "block": rate // 50, "overlap": rate // 100} | ARCHITECTURE
         for rate in (16000, 24000, 48000)}
# For a bundle that goes on (docs/training.md, "Continue the training").
GOING_ON = {"shape": 3.5, "knee": 3000, "rate": 1e-3}
CLIP_SECONDS = 8
CLIPS = 12


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                usage="%(prog)s FOLDER [options] [-- options of train.py]")
    p.add_argument("folder", type=Path, help="recordings, in folders by speaker where these are known")
    p.add_argument("--out", type=Path, default=Path(".siskin/own"))
    p.add_argument("--name", default="own-speech", help="of the bundle")
    p.add_argument("--version", default="0.1.0", help="of the bundle")
    p.add_argument("--rate", type=int, choices=sorted(RATES), default=24000, help="sample rate in Hz")
    p.add_argument("--minutes", type=float, default=60, help="of training, over all resumptions")
    p.add_argument("--start", type=Path, help="bundle to begin with, which has its own rate")
    p.add_argument("--entropy", type=float, default=0, metavar="MINUTES",
                   help="of sound from which the tables of the range coding are learned; 0 leaves codes at fixed width")
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="fields of the architecture, as in train.py")
    # Split by hand: argparse takes no positional arguments on both sides of options.
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    args = p.parse_args(own[:cut])
    args.options = own[cut + 1:]
    return args


def call(script, *options):
    """Runs a program of this folder; SIGINT reaches it by the terminal, and SIGTERM is passed on."""
    child = subprocess.Popen([sys.executable, str(HERE / script), *map(str, options)])
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:
                # train.py saves and ends by itself.
                continue
    finally:
        signal.signal(signal.SIGTERM, before)
    if code:
        raise SystemExit(f"{script} ended with {code}")


def train(args, corpus, run, rate):
    options = ["--corpus", corpus, "--out", run, "--minutes", args.minutes, "--log-every", 20]
    if args.start:
        options += ["--start", args.start]
        for name, value in GOING_ON.items():
            options += [f"--{name}", value]
    # A bundle to begin with has an architecture; of fields given twice the last counts.
    fields = [f"{k}={v}" for k, v in ({} if args.start else RATES[rate]).items()] + args.set
    options += args.options + (["--set", *fields] if fields else [])
    with Progress(run, f"{args.name}, {rate} Hz"):
        call("train.py", *options)


def test_clips(corpus, rate):
    """Clips of the test split, or of what was trained on where there is none."""
    source = Corpus(corpus, "test", rate)
    source = source if source.rows else Corpus(corpus, "train", rate)
    rows = [r for r in source.rows if r["samples"] > rate] or source.rows
    chosen = np.random.default_rng(1).permutation(len(rows))[:CLIPS]
    return [source.clip(rows[i])[: CLIP_SECONDS * rate] for i in chosen]


def measure(folder, clips):
    """Figures of a bundle on clips: for each number of stages the means over the clips, greedy search."""
    bundle = Bundle(folder)
    rate = bundle.manifest["sample_rate"]
    sums = {p["stages"]: [] for p in bundle.manifest["prefixes"]}
    for clip in clips:
        for stages, output in bundle.roundtrip(clip, list(sums)).items():
            if not np.isfinite(output).all():
                raise SystemExit(f"{folder}: {stages} stages decode to values that are not finite")
            sums[stages].append((si_sdr(clip, output), mel_distance(clip, output, rate)))
    bitrates = {p["stages"]: p["bitrate"] for p in bundle.manifest["prefixes"]}
    return [{"stages": n, "bitrate": bitrates[n], "si_sdr_db": round(float(np.mean([v[0] for v in values])), 2),
             "mel_distance": round(float(np.mean([v[1] for v in values])), 4), "clips": len(values)}
            for n, values in sums.items()]


def main():
    args = arguments()
    rate = json.loads((args.start / "manifest.json").read_text())["sample_rate"] if args.start else args.rate
    corpus, run, bundle = args.out / "corpus", args.out / "run", args.out / args.name
    seconds = build(args.folder, corpus, rate)
    print(f"corpus: {seconds['train'] / 3600:.2f} h to train on, {seconds.get('test', 0) / 3600:.2f} h to test", flush=True)
    run.mkdir(parents=True, exist_ok=True)
    train(args, corpus, run, rate)
    clips = test_clips(corpus, rate)
    clip = args.out / "clip.wav"
    sf.write(clip, np.concatenate([np.zeros(rate // 2, np.float32), *clips[:1]]), rate, subtype="PCM_16")
    call("export.py", "--checkpoint", run / "last.pt", "--out", bundle, "--golden", args.out / "golden.safetensors", "--clip", clip,
         "--version", args.version, "--data", f"{args.folder.name}: {seconds['train'] / 3600:.2f} h")
    if args.entropy:
        call("entropy.py", "--bundle", bundle, "--corpus", corpus, "--minutes", args.entropy)
    figures = measure(bundle, clips)
    path = bundle / "manifest.json"
    info = json.loads(path.read_text())
    info["figures"] = figures
    path.write_text(json.dumps(info, indent=2) + "\n")
    (args.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print("stages  kb/s  SI-SDR dB  mel distance")
    for row in figures:
        print(f"{row['stages']:6} {row['bitrate'] / 1000:5.1f} {row['si_sdr_db']:10.2f} {row['mel_distance']:13.4f}")
    print(f"bundle: {bundle}", flush=True)


if __name__ == "__main__":
    main()
