"""What the second head says of lines, beside pictures that the recognition network reads on the server.

    python models/features/marks.py --cache .siskin/features --held --pictures FOLDER --out docs/evaluation/features-second.json

The reference is what the recognition network reads in the original picture, in the boxes that the text detector finds there. All
are asked about the same boxes. JPEG is also made of smaller pictures: at full size it does not reach the bytes of features.
"""
import argparse
import hashlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import tables
import testset
from corpus import pack
from export import rounded, run
from PIL import Image
from reading import Reader, crop
from running import session
from safetensors.numpy import load_file
from second import answer, mask
from teacher import Teacher

# Width over that of the frame, and quality.
JPEG = ((0.25, 15), (0.5, 10), (0.5, 40), (1, 10), (1, 40))


class Counts:
    """Right answers of lines of both kinds."""

    def __init__(self):
        self.right, self.all = [0, 0], [0, 0]

    def add(self, said, reference):
        self.all[reference] += 1
        self.right[reference] += said == reference

    def row(self):
        """Parts that are right of lines of the first kind and of the second, and the mean of both."""
        parts = [r / max(1, n) for r, n in zip(self.right, self.all)]
        return {"others": parts[0], "cjk": parts[1], "balanced": sum(parts) / 2}


def squeezed(picture, scale, quality):
    """A picture through JPEG at a part of its size: bytes, and the picture at its own size again."""
    h, w = picture.shape[:2]
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    data = io.BytesIO()
    Image.fromarray(small[..., ::-1]).save(data, "JPEG", quality=quality, optimize=True)
    back = np.asarray(Image.open(data).convert("RGB"))[..., ::-1]
    return data.tell(), cv2.resize(back, (w, h), interpolation=cv2.INTER_CUBIC) if scale < 1 else back.copy()


def read(folder, teacher, reader, picture):
    """The lines of a picture, kept in a folder: reading takes the longest by far, and is the same for every bundle."""
    kept = folder / (hashlib.sha256(picture.tobytes()).hexdigest()[:16] + ".json")
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(reader.lines(picture, teacher.run(picture))))
    return json.loads(kept.read_text())


def known(lines):
    """Lines of which the reference is sure, with it."""
    return [(line, answer(line)) for line in lines if answer(line) is not None]


def of_features(bundle, frames, lines):
    """A row for each level: bytes at the contexts' probabilities, and right answers."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    head = next(h for h in manifest["heads"] if h["result"] == "property")
    device, second = session(bundle / manifest["device"]), session(bundle / head["file"])
    tensors, rows = load_file(bundle / manifest["tables"]), []
    outputs = run(device, frames)
    for level, gain in enumerate(tensors["gains"]):
        counts, bits = Counts(), 0
        for y, own in zip(outputs, lines):
            integers = rounded(y, gain)
            bits += tables.bits(integers, tensors["contexts"][level])
            latents = (integers.transpose(2, 0, 1) / gain[:, None, None]).astype(np.float32)
            found = second.run(None, {"latents": latents[None]})[0][0, 0]
            for line, reference in known(own):
                inside = mask(line, *found.shape)
                counts.add(bool(inside.any()) and bool(found[inside].mean() >= head["threshold"]), reference)
        rows.append({"level": level, "bytes": float(bits) / 8 / len(frames), **counts.row()})
        print(rows[-1], flush=True)
    return rows


def of_jpeg(reader, pictures, lines):
    rows = []
    for scale, quality in JPEG:
        counts, size = Counts(), 0
        for picture, own in zip(pictures, lines):
            length, seen = squeezed(picture, scale, quality)
            size += length
            for line, reference in known(own):
                text, _ = reader.read(crop(seen, np.float32(line["outer"])))
                # What is read with whatever certainty: a guess is no worse than none.
                counts.add(bool(answer({"text": text, "score": 1})), reference)
        rows.append({"scale": scale, "quality": quality, "bytes": size / len(pictures), **counts.row()})
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--pictures", type=Path, action="append", default=[], help="a folder of more pictures (repeatable)")
    parser.add_argument("--held", action="store_true", help="the pictures that no choice has seen, in place of the others")
    parser.add_argument("--jpeg-every", type=int, default=1, help="JPEG of every Nth picture alone: reading takes long")
    parser.add_argument("--keep", type=Path, help="take JPEG's figures from the file of an earlier run")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    teacher, reader = Teacher(), Reader()
    pictures = [v for _, v in (testset.held if args.held else testset.load)(args.cache, args.pictures)]
    lines = [read(args.cache / "lines", teacher, reader, v) for v in pictures]
    counts = [sum(a is kind for own in lines for _, a in known(own)) for kind in (False, True)]
    print(f"{len(pictures)} pictures, {counts[0]} lines and {counts[1]} in Chinese, Japanese or Korean", flush=True)
    found = {"pictures": len(pictures), "others": counts[0], "cjk": counts[1]}
    if args.keep:
        found["jpeg"] = json.loads(args.keep.read_text())["jpeg"]
    else:
        some = slice(None, None, args.jpeg_every)
        found["jpeg"] = {"pictures": len(pictures[some]), "rows": of_jpeg(reader, pictures[some], lines[some])}
    found["features"] = of_features(args.bundle, [pack(v) for v in pictures], lines)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
