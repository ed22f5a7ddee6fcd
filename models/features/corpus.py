"""Make the training corpus: scenes, and what the teacher says of them.

Writes into the cache folder, for N scenes of 640x480:
  frames.npy    u8 [N, 24, 120, 160]: 4:2:0 as the device half reads it (16 luma, 4 U, 4 V samples a 4x4 block)
  text.npy      u8 [N, 480, 640]: the teacher's probability of text, times 255
  lines.jsonl   what the second teacher reads, a list of lines for each scene
A run that was interrupted goes on where it stopped.
"""
import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from reading import Reader
from scenes import HEIGHT, WIDTH, Sources, scene
from teacher import Teacher


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
    sources, teacher, reader, n = Sources(args.cache), Teacher(), Reader(), args.scenes
    done = args.cache / "corpus.json"
    start = json.loads(done.read_text())["scenes"] if done.exists() else 0
    shapes = {"frames": ("u1", (24, HEIGHT // 4, WIDTH // 4)), "text": ("u1", (HEIGHT, WIDTH))}
    out = {}
    for name, (kind, shape) in shapes.items():
        path = args.cache / f"{name}.npy"
        mode = dict(mode="r+") if start else dict(mode="w+", dtype=kind, shape=(n, *shape))
        out[name] = np.lib.format.open_memmap(path, **mode)
    # Lines of scenes beyond the last mark belong to a run that was interrupted.
    kept = (args.cache / "lines.jsonl").read_text().splitlines()[:start] if start else []
    (args.cache / "lines.jsonl").write_text("".join(line + "\n" for line in kept))
    for i in range(start, n):
        # A generator for each scene, so that a scene does not depend on where a run began.
        picture = scene(sources, np.random.default_rng([1, i]))
        text = teacher.run(picture)
        out["frames"][i], out["text"][i] = pack(picture), np.round(text * 255)
        with open(args.cache / "lines.jsonl", "a") as lines:
            lines.write(json.dumps(reader.lines(picture, text), ensure_ascii=False) + "\n")
        if (i + 1) % 25 == 0 or i + 1 == n:
            done.write_text(json.dumps({"scenes": i + 1}))
            print(i + 1, f"text {np.mean(out['text'][max(0, i - 24): i + 1] > 76):.3f}", flush=True)


if __name__ == "__main__":
    main()
