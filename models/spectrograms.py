"""Draw spectrograms of sound files, one below the other, to see what a codec does.

  python models/spectrograms.py original.wav decoded.wav --start 1 --seconds 2 --out docs/training-noise.png
"""
import argparse
from pathlib import Path

import matplotlib
import soundfile as sf

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

WINDOW = 512


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="anything that libsndfile reads; the first channel is drawn")
    parser.add_argument("--start", type=float, default=0.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    args = parser.parse_args()
    figure, axes = plt.subplots(len(args.files), 1, figsize=(8, 2 * len(args.files)), squeeze=False, sharex=True)
    for axis, path in zip(axes[:, 0], args.files):
        rate = sf.info(path).samplerate
        pcm, _ = sf.read(path, start=int(args.start * rate), frames=int(args.seconds * rate), always_2d=True)
        axis.specgram(pcm[:, 0] + 1e-9, NFFT=WINDOW, Fs=rate, noverlap=WINDOW * 3 // 4, vmin=-140, vmax=-40)
        axis.set(title=path.stem, ylabel="Hz")
    axes[-1, 0].set(xlabel="seconds")
    figure.tight_layout()
    figure.savefig(args.out, dpi=60)


if __name__ == "__main__":
    main()
