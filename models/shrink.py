"""Cut a checkpoint of train.py down to what another run can start from: averages in 16 bits, codebooks in 8.

  python models/shrink.py .siskin/runs/long/last.pt FOLDER/small.pt

An entry is a multiple of 1/127 of the largest number of its codebook, which adds about 1e-4 of a stage's own variance.
`train.py --start`, `export.py --checkpoint` and `compare_decoders.py --codec` take it; moments of the optimizer are left out.
"""
import argparse
from pathlib import Path

import torch

from siskin_models.codec import NEW


def shrink(saved):
    books = saved["books"].float()
    scale = books.abs().amax((2, 3), keepdim=True).clamp(min=1e-6) / 127
    kept = {k: saved[k] for k in ("config", "size", "stages", "step", "elapsed")}
    return kept | {"average": {k: v.half() for k, v in saved["average"].items()},
                   "books": (books / scale).round().to(torch.int8), "book_scale": scale}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(shrink(torch.load(args.checkpoint, map_location="cpu", weights_only=NEW)), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
