"""What prediction from the frame before would save: bits of latents in contexts that know it, beside those of the format.

    python models/features/temporal.py --cache .siskin/features

Both are counted on clips of training pictures and spent on clips of test pictures: slow pans, and a camera that stands still with
noise of its sensor. Nothing here is in the format; docs/features.md states what the figures decided.
"""
import argparse
from pathlib import Path

import cv2
import numpy as np
import tables
import testset
from compare import pan
from corpus import pack
from export import rounded, run
from packages import SCREENS, package, pictures
from running import session
from safetensors.numpy import load_file
from tables import CLASSES, MAGNITUDES, shifted
from teacher import Teacher

NOISE = 2.0


def still(picture, frames=10):
    """A picture as a camera that does not move sees it, with new noise in each frame."""
    rng = np.random.default_rng(4)
    return [np.clip(picture + rng.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8) for _ in range(frames)]


def decisions(y, before):
    """All decisions of a frame of latents [h, w, c] after another: pairs of (context, yes or no), and how many escapes."""
    near = 2 * (abs(shifted(y, -1, 0)) + abs(shifted(y, 0, -1))) + abs(shifted(y, -1, -1)) + abs(shifted(y, 1, -1))
    # Of this frame what is coded, and of the one before also what is below and to the right.
    around = abs(shifted(before, 1, 0)) + abs(shifted(before, -1, 0)) + abs(shifted(before, 0, 1)) + abs(shifted(before, 0, -1))
    spatial = np.digitize(near, [1, 3, 5, 9, 17])
    temporal = np.digitize(2 * abs(before), [1, 3, 5, 9]) * 3 + np.digitize(around, [1, 5])
    some, had = (y != 0).any(2), (before != 0).any(2)
    left, above = shifted(some[..., None], -1, 0)[..., 0], shifted(some[..., None], 0, -1)[..., 0]
    out = [(had * 4 + left * 2 + above, some)]
    channel = np.arange(y.shape[2])[None]
    kinds = y.shape[2] * 15 * CLASSES
    context = ((channel * 15 + temporal[some]) * CLASSES + spatial[some])
    y, before = y[some], before[some]
    out.append((8 + context, y != 0))
    coded = y != 0
    out.append((8 + kinds + (channel * 3 + np.sign(before) + 1)[coded], y[coded] < 0))
    place = (channel * 8 + np.minimum(abs(before), 7))[coded] * MAGNITUDES
    more = abs(y[coded]) - 1
    start = 8 + kinds + y.shape[1] * 3
    for k in range(MAGNITUDES):
        out.append((start + place[more >= k] + k, more[more >= k] > k))
    return out, int((more >= MAGNITUDES).sum())


def size(channels):
    return 8 + channels * (15 * CLASSES + 3 + 8 * MAGNITUDES)


def count(clips):
    """Probabilities of a yes, from clips of latents; those that are rare lean on an even one."""
    yes, total = (np.zeros(size(clips[0][0].shape[2])) for _ in range(2))
    for clip in clips:
        for before, y in zip(clip, clip[1:]):
            for index, value in decisions(y, before)[0]:
                total += np.bincount(index.ravel(), minlength=len(total))
                yes += np.bincount(index.ravel(), value.ravel(), minlength=len(total))
    return np.clip((yes + 0.4) / (total + 2), 1 / 1024, 1 - 1 / 1024)


def bits(y, before, p):
    found, escapes = decisions(y, before)
    return -sum(np.log2(np.where(value, p[index], 1 - p[index])).sum() for index, value in found) + 3 * escapes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--clips", type=int, default=40)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    device, gains = session(args.bundle / "device.onnx"), load_file(args.bundle / "tables.safetensors")["gains"]
    teacher = Teacher()
    found = [p for name in SCREENS for p in pictures(package(name, args.cache))]
    known = [v for v in (testset.view(p) for p in found[:: len(found) // (args.clips + 20)]) if v is not None][: args.clips]
    # As compare.py chooses its clips: the pictures in which most is found.
    test = sorted((v for _, v in testset.load(args.cache)), key=lambda v: -float((teacher.run(v) > 0.3).mean()))[:4]
    for name, move in (("slow pans", pan), ("still, with noise", still)):
        outputs = [[run(device, [pack(f) for f in frames]) for frames in some]
                   for some in ([move(v, 4) for v in known], [move(v) for v in test])]
        for level in (0, 2, 4):
            rows, own = ([[rounded(y, gains[level]) for y in clip] for clip in some] for some in outputs)
            alone, after = tables.count([y for clip in rows for y in clip]), count(rows)
            intra = np.mean([tables.bits(y, alone) for clip in own for y in clip[1:]]) / 8
            inter = np.mean([bits(y, before, after) for clip in own for before, y in zip(clip, clip[1:])]) / 8
            print(f"{name}, level {level}: {intra:.0f} bytes a frame alone, {inter:.0f} after the one before ({inter / intra:.2f})",
                  flush=True)


if __name__ == "__main__":
    main()
