"""Make the training corpus: scenes, and what the teacher says of them.

Writes into the cache folder, for N scenes of 640x480:
  frames.npy    u8 [N, 24, 120, 160]: 4:2:0 as the device half reads it (16 luma, 4 U, 4 V samples a 4x4 block)
  text.npy      u8 [N, 480, 640]: the teacher's probability of text, times 255
  features.npy  i8 [N, 96, 120, 160]: the teacher's features in units of scale.npy [96]
A run that was interrupted goes on where it stopped.
"""
import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from scenes import HEIGHT, WIDTH, Sources, scene
from teacher import CHANNELS, Teacher


def pack(picture):
    """A picture u8 [h, w, 3], blue first, as 4:2:0 in 4x4 blocks, u8 [24, h / 4, w / 4]."""
    h, w = picture.shape[:2]
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    luma = planes[:h].reshape(h // 4, 4, w // 4, 4).transpose(1, 3, 0, 2).reshape(16, h // 4, w // 4)
    chroma = planes[h:].reshape(2, h // 4, 2, w // 4, 2).transpose(0, 2, 4, 1, 3).reshape(8, h // 4, w // 4)
    return np.concatenate([luma, chroma])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--scenes", type=int, default=2400)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    sources, teacher, n = Sources(args.cache), Teacher(), args.scenes
    done = args.cache / "corpus.json"
    start = json.loads(done.read_text())["scenes"] if done.exists() else 0
    shapes = {"frames": ("u1", (24, HEIGHT // 4, WIDTH // 4)), "text": ("u1", (HEIGHT, WIDTH)),
              "features": ("i1", (CHANNELS, HEIGHT // 4, WIDTH // 4))}
    out = {}
    for name, (kind, shape) in shapes.items():
        path = args.cache / f"{name}.npy"
        mode = dict(mode="r+") if start else dict(mode="w+", dtype=kind, shape=(n, *shape))
        out[name] = np.lib.format.open_memmap(path, **mode)
    if start:
        scale = np.load(args.cache / "scale.npy")
    else:
        # One unit is 1/127 of what 999 of 1,000 values stay below: the few beyond are clipped.
        some = [teacher.run(scene(sources, np.random.default_rng([9, i])), True)[1] for i in range(12)]
        scale = np.quantile(np.abs(np.stack(some, 1)).reshape(CHANNELS, -1), 0.999, axis=1).astype(np.float32) / 127
        scale = np.maximum(scale, 1e-6)
        np.save(args.cache / "scale.npy", scale)
    for i in range(start, n):
        # A generator for each scene, so that a scene does not depend on where a run began.
        picture = scene(sources, np.random.default_rng([1, i]))
        text, features = teacher.run(picture, True)
        out["frames"][i], out["text"][i] = pack(picture), np.round(text * 255)
        out["features"][i] = np.clip(np.round(features / scale[:, None, None]), -127, 127)
        if (i + 1) % 50 == 0 or i + 1 == n:
            done.write_text(json.dumps({"scenes": i + 1}))
            print(i + 1, f"text {np.mean(out['text'][max(0, i - 49): i + 1] > 76):.3f}", flush=True)


if __name__ == "__main__":
    main()
