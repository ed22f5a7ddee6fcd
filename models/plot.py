"""Thin a run's loss.csv and draw it.

  python models/plot.py --run .siskin/runs/main --out docs/training-loss
"""
import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/training-loss"))
    args = parser.parse_args()
    rows = list(csv.DictReader(open(args.run / "loss.csv")))
    with open(args.out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    steps = [int(r["step"]) for r in rows]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    for key in [k for k in ("shape", "mel", "distance", "heard") if k in rows[0]]:
        axes[0].plot(steps, [float(r[key]) for r in rows], label=key)
    axes[0].set(xlabel="step", ylabel="loss", ylim=(0.1, 2.0), yscale="log")
    quantised = [r for r in rows if r["phase"] != "1"]
    axes[1].plot([int(r["step"]) for r in quantised], [float(r["residual"]) for r in quantised])
    axes[1].set(xlabel="step", ylabel="variance left by all stages", yscale="log")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(args.out.with_suffix(".png"), dpi=80)


if __name__ == "__main__":
    main()
