"""How far the second head agrees with its teacher, beside JPEG that the teacher reads.

    python models/features/second_figures.py --siskin target/release/siskin --set held --out docs/evaluation/features-second.json

What counts are lines, those that the text teacher finds on the original frame: whether each is a title, by the layout teacher
on the original page. F is the F-measure of the titles, "right" the mean of the parts of both kinds of lines that are told as the
teacher does, of which chance has 0.5.
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from agreement import Agreement
from compare import i420, pillow
from layout import Layout, paint
from page_corpus import SETS
from running import cpu_ms, session
from second import BITS, PROPERTIES, SHIPPED

# Size and quality. At less than half of the size the teacher finds next to nothing.
JPEG = [(1, 2), (1, 5), (1, 10), (1, 20), (0.875, 2), (0.75, 2)]
# Coarse pictures are soft, and the network wants sharp ones: on pages for tests this is right more often than `layout.SHARPEN`.
SHARPER = 2.5


def lines(probability):
    """Lines of text in a map of probabilities: rows and columns of the pixels of each, as `agreement.boxes` chooses them."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((probability >= 0.3).astype(np.uint8), connectivity=8)
    out = []
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        rows, columns = np.nonzero(labels[y: y + h, x: x + w] == i)
        if area >= 9 and min(w, h) >= 3 and probability[rows + y, columns + x].mean() >= 0.5:
            out.append((rows + y, columns + x))
    return out


def said(found, map_):
    """Whether the mean of a map over each line is above a half; the map may be smaller than the frame."""
    rows, columns = (round(a / b) for a, b in zip(found["shape"], map_.shape))
    return np.array([map_[r // rows, c // columns].mean() > 0.5 for r, c in found["lines"]], bool)


def agreement(told, wanted):
    """F-measure of what is wanted and the mean over both kinds of lines of the part that is told as it should be; of all frames."""
    told, wanted = np.concatenate(told), np.concatenate(wanted)
    f = 2 * (told & wanted).sum() / max(1, told.sum() + wanted.sum())
    return {"f": float(f), "right": float((told[wanted].mean() + (~told[~wanted]).mean()) / 2)}


def load(folder, kind, every, bits):
    """Frames of a test corpus and what the teachers say of them."""
    out = []
    for path in sorted(Path(folder).glob(f"*-{kind}.npz"))[::every]:
        with np.load(path) as saved:
            frame = cv2.imdecode(saved["frame"], cv2.IMREAD_COLOR)
            text, kinds = saved["lines"].astype(np.float32) / 255, saved["kinds"]
        found = {"frame": frame, "text": text, "lines": lines(text), "shape": text.shape, "package": path.stem.split("-0")[0]}
        out.append(found | {"wanted": said(found, ((kinds & bits) > 0).astype(np.float32))})
    return out


def code_features(program, bundle, found, level, head):
    """Bytes a frame, and the maps of both heads."""
    height, width = found[0]["shape"]
    with tempfile.TemporaryDirectory() as folder:
        clip, coded, maps = (Path(folder) / name for name in ("in.y4m", "f.mkv", "maps"))
        with open(clip, "wb") as out:
            out.write(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420mpeg2\n".encode())
            for one in found:
                out.write(b"FRAME\n" + i420(one["frame"]).tobytes())
        command = [program, "features", "encode", "-y", "--json", str(clip), str(coded), "--level", str(level), "--model", bundle]
        size = json.loads(subprocess.run(command, check=True, capture_output=True).stdout.splitlines()[-1])["packet_bytes"]
        command = [program, "features", "decode", "-y", "-q", str(coded), str(Path(folder) / "f.jsonl"), "--model", bundle]
        subprocess.run([*command, "--maps", str(maps)], check=True)
        read = lambda name: [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
                             for p in sorted(maps.glob(f"{name}-*.pgm"))]
        return size / len(found), read("text"), read(head)


def code_jpeg(found, layout, scale, quality, bits):
    """Bytes a frame, and what the layout teacher says of the lines."""
    size, out = 0, []
    for one in found:
        frame = one["frame"]
        if scale < 1:
            frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        own, (picture,) = pillow("JPEG", optimize=True)([frame], None, quality)
        size += own
        kinds = paint(layout.run(picture, SHARPER), one["shape"][0] // 8, one["shape"][1] // 8)
        out.append(said(one, ((kinds & bits) > 0).astype(np.float32)))
    return size / len(found), out


def bytes_at(rows, key, wanted):
    """The least bytes at which JPEG of one size agrees as far, on straight lines over the logarithm of bytes; those of its coarsest
    quality where that agrees further, and None where no size ever does."""
    found = []
    for scale in {r["scale"] for r in rows}:
        own = sorted((r for r in rows if r["scale"] == scale), key=lambda r: r["bytes"])
        found += [own[0]["bytes"]] if own[0][key] >= wanted else []
        for a, b in zip(own, own[1:]):
            if a[key] < wanted <= b[key]:
                part = (wanted - a[key]) / (b[key] - a[key])
                found.append(float(np.exp(np.log(a["bytes"]) + part * np.log(b["bytes"] / a["bytes"]))))
    return min(found, default=None)


def measure(args, kind, bits):
    found = load(args.cache / f"pages-{args.set}", kind, args.every, bits)
    wanted = [one["wanted"] for one in found]
    yes = int(np.concatenate(wanted).sum())
    out = {"frames": len(found), "lines": sum(map(len, wanted)), "lines_of_kind": yes, "levels": [], "jpeg": []}
    print(f"{args.set}, {kind}: {out['frames']} frames, {out['lines']} lines, {yes} of them {args.head}", flush=True)
    kept = json.loads(args.keep.read_text())[kind]["jpeg"] if args.keep else []
    out["jpeg"] += kept
    for scale, quality in JPEG if kind in args.jpeg and not kept else []:
        size, said_ = code_jpeg(found, args.layout, scale, quality, bits)
        out["jpeg"].append({"scale": scale, "quality": quality, "bytes": size} | agreement(said_, wanted))
        print(f"JPEG {out['jpeg'][-1]}", flush=True)
    for level in range(args.levels):
        size, text, maps = code_features(args.siskin, args.bundle, found, level, args.head)
        told, of_text = [said(one, m) for one, m in zip(found, maps)], Agreement()
        for one, t in zip(found, text):
            of_text.add(t, one["text"])
        row = {"level": level, "bytes": size, "f_of_text": of_text.f} | agreement(told, wanted)
        row["jpeg"] = {key: bytes_at(out["jpeg"], key, row[key]) for key in ("f", "right")}
        row["packages"] = {p: agreement(*zip(*[(t, w) for t, w, o in zip(told, wanted, found) if o["package"] == p]))["f"]
                           for p in SETS[args.set] if any(o["package"] == p for o in found)}
        out["levels"].append(row)
        print(row, flush=True)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--siskin", default="siskin")
    parser.add_argument("--bundle", default="models/bundles/text-features")
    parser.add_argument("--head", default=SHIPPED, choices=PROPERTIES)
    parser.add_argument("--set", choices=("test", "held"), default="held")
    parser.add_argument("--every", type=int, default=1, help="every Nth page alone")
    parser.add_argument("--levels", type=int, default=6)
    parser.add_argument("--jpeg", nargs="*", default=["flat", "camera"], help="kinds of frames that JPEG is measured on")
    parser.add_argument("--keep", type=Path, help="take JPEG's figures from the file of an earlier run")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.layout, bits = Layout(), BITS[list(PROPERTIES).index(args.head)]
    result = {"head": args.head, "set": args.set} | {kind: measure(args, kind, bits) for kind in ("flat", "camera")}
    latents = np.zeros((1, 32, 64, 48), np.float32)
    for name in ("text", args.head):
        file = Path(args.bundle) / f"{name}.onnx"
        network = session(file)
        result[f"{name}_ms"] = cpu_ms(lambda network=network: network.run(None, {"latents": latents}))
        result[f"{name}_bytes"] = file.stat().st_size
    page = np.full((1024, 768, 3), 200, np.uint8)
    result["teacher_ms"] = cpu_ms(lambda: args.layout.run(page))
    print({k: v for k, v in result.items() if k.endswith(("_ms", "_bytes"))})
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
