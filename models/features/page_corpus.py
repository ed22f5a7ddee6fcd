"""Pages for the second head, as the device half sees them, and what the layout teacher says of them.

    python models/features/page_corpus.py --set train      # .siskin/features/pages-train; goes on where it stopped

Writes NAME.npz for each frame: `latents` f16 [32, h / 16, w / 16] before they are rounded, `text` u8 [h / 8, w / 8], the
probability of text that the shipped head finds, times 255, and `kinds` u16 [h / 8, w / 8] (`layout.paint`); of pages for tests also
`frame`, a PNG, and `lines` u8 [h, w], the text teacher's probabilities. Pages for tests are 768x1024, each once flat and once from
a camera.
"""
import argparse
from pathlib import Path

import cv2
import numpy as np
from corpus import pack
from packages import PAGES, PAGES_HELD, PAGES_TEST
from pages import HEIGHTS, Pages, leaves
from running import session
from teacher import Teacher
from train import unpack

SETS = {"train": PAGES, "test": PAGES_TEST, "held": PAGES_HELD}
TEST_HEIGHT = 1024


class Halves:
    """The shipped networks."""

    def __init__(self, bundle):
        self.device, self.text = (session(bundle / name) for name in ("device.onnx", "text.onnx"))

    def run(self, frame):
        """Latents, and text at an eighth of the size."""
        latents = self.device.run(None, {"frame": unpack(pack(frame))[None].astype(np.float32)})[0]
        text = self.text.run(None, {"latents": latents})[0][0, 0]
        rows, columns = text.shape[0] // 8, text.shape[1] // 8
        text = text.reshape(rows, 8, columns, 8).mean((1, 3))
        return {"latents": latents[0].astype(np.float16), "text": np.rint(text * 255).astype(np.uint8)}


def frames(pages, page, kinds, rng, is_test):
    """Frames of a page, by name."""
    if is_test:
        return {"flat": pages.flat(page, kinds, TEST_HEIGHT), "camera": pages.camera(page, kinds, TEST_HEIGHT, rng)}
    height = lambda: int(rng.choice(HEIGHTS))
    out = {"flat": pages.flat(page, kinds, height(), rng.random())}
    # A page with a title, a figure or a table is seen once more: most have running text alone.
    for i in range(2 if (kinds & 0b10110).any() else 1):
        out[f"camera{i}"] = pages.camera(page, kinds, height(), rng)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--set", choices=SETS, default="train")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    out, is_test = args.cache / f"pages-{args.set}", args.set != "train"
    out.mkdir(parents=True, exist_ok=True)
    pages, halves, teacher = Pages(args.cache), Halves(args.bundle), Teacher() if is_test else None
    for package, (_, documents, each) in SETS[args.set].items():
        for i, (pdf, number) in enumerate(leaves(package, args.cache, documents, each)):
            stem = f"{package}-{i:03}-{pdf.stem}-{number}"
            # The last frame of a page is written last.
            if any(out.glob(f"{stem}-camera*.npz")):
                continue
            read = pages.read(pdf, number)
            if read is None:
                continue
            for name, (frame, kinds) in frames(pages, *read, np.random.default_rng([3, i, len(package)]), is_test).items():
                seen = {**halves.run(frame), "kinds": kinds}
                if is_test:
                    seen["frame"] = cv2.imencode(".png", frame)[1]
                    seen["lines"] = np.rint(teacher.run(frame) * 255).astype(np.uint8)
                np.savez_compressed(out / f"{stem}-{name}.npz", **seen)
        print(package, len(list(out.glob("*.npz"))), flush=True)


if __name__ == "__main__":
    main()
