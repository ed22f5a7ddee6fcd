"""A second task on the frozen bottleneck: which lines of text stand upside down.

The teacher is the direction classifier of the PyPI package `rapidocr` (ch_ppocr_mobile_v2.0_cls, Apache-2.0), which reads
crops of the picture. The student reads the integer latents that were trained for finding text, and nothing else.

    python models/features/second.py --cache .siskin/features --bundle models/bundles/text-features
"""
import argparse
import json
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import testset
import torch
import torch.nn.functional as F
from agreement import boxes
from arch import LATENTS, Block
from corpus import pack
from export import TEXT, session, write_head, write_manifest
from safetensors.numpy import load_file
from teacher import Teacher
from torch import nn
from train import unpack

SPEC = {"name": "turned", "file": "turned.onnx", "map_stride": 8, "result": "property", "threshold": 0.5}


class Turned(nn.Module):
    """Latents to the probability that text there stands upside down, at a stride of 8."""

    def __init__(self):
        super().__init__()
        blocks = [Block(96, 7) for _ in range(3)]
        self.body = nn.Sequential(nn.Conv2d(LATENTS, 96, 1), *blocks, nn.ReLU(), nn.Conv2d(96, 4, 1))

    def logits(self, latents):
        return F.pixel_shuffle(self.body(latents), 2)

    def forward(self, latents):
        return torch.sigmoid(self.logits(latents))


def classifier():
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    path = files("rapidocr").joinpath("models/ch_ppocr_mobile_v2.0_cls_mobile.onnx")
    own = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    name = own.get_inputs()[0].name

    def turned(crops):
        """Probability of 180 degrees of crops u8 [h, w, 3], made 48 rows high as the classifier was trained."""
        out = []
        for crop in crops:
            width = int(np.clip(round(crop.shape[1] * 48 / crop.shape[0]), 16, 192))
            x = np.zeros((3, 48, 192), np.float32)
            x[:, :, :width] = cv2.resize(crop, (width, 48)).transpose(2, 0, 1) / 127.5 - 1
            out.append(own.run(None, {name: x[None]})[0][0, 1])
        return np.array(out)

    return turned


def lines(picture, probability):
    """Boxes of lines that lie rather than stand, as four corners from the upper left one on, and their crops."""
    found = []
    for box in boxes(probability):
        corners = cv2.boxPoints(box)
        corners = corners[np.argsort(corners[:, 0])]
        left, right = corners[:2], corners[2:]
        left, right = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
        quad = np.float32([left[0], right[0], right[1], left[1]])
        w, h = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
        # Short ones say too little, and of lines that stand upright is no direction.
        if w < 2 * h or h < 8 or abs(quad[1][1] - quad[0][1]) > abs(quad[1][0] - quad[0][0]):
            continue
        to = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
        matrix = cv2.getPerspectiveTransform(quad, to)
        crop = cv2.warpPerspective(picture, matrix, (int(w), int(h)), borderMode=cv2.BORDER_REPLICATE)
        found.append((quad, crop))
    return found


def label(picture, probability, classify):
    """Maps at a stride of 8: what the classifier says, and where it says it surely; and the boxes with their answers."""
    h, w = probability.shape
    target, weight, answers = np.zeros((h // 8, w // 8), np.float32), np.zeros((h // 8, w // 8), np.float32), []
    found = lines(picture, probability)
    for (quad, _), p in zip(found, classify([crop for _, crop in found])):
        # The classifier's own threshold for turning a line is 0.9.
        if 0.1 < p < 0.9:
            continue
        mask = np.zeros_like(weight, np.uint8)
        cv2.fillConvexPoly(mask, np.round(quad / 8 - 0.5).astype(np.int32), 1)
        inside = (mask > 0) | (cv2.dilate(mask, np.ones((2, 2), np.uint8)) > 0) & (weight == 0)
        target[inside], weight[inside] = float(p > 0.5), 1 / max(1, inside.sum()) ** 0.5
        answers.append((quad, bool(p > 0.5)))
    return target, weight, answers


def accuracy(head, latents, gains, level, answers):
    """Right answers by class, [of upright lines, of turned ones], and how many there are of each."""
    right, count = np.zeros(2), np.zeros(2)
    gain = gains[level][:, None, None]
    for y, lines_ in zip(latents, answers):
        if not lines_:
            continue
        with torch.no_grad():
            p = head(torch.from_numpy(np.rint(y * gain) / gain)[None].float())[0, 0].numpy()
        for quad, is_turned in lines_:
            mask = np.zeros(p.shape, np.uint8)
            cv2.fillConvexPoly(mask, np.round(quad / 8 - 0.5).astype(np.int32), 1)
            count[int(is_turned)] += 1
            right[int(is_turned)] += (p[mask > 0].mean() > 0.5) == is_turned
    return right, count


def unpacked_picture(frame):
    """A frame of the corpus, u8 [24, h / 4, w / 4], as u8 [h, w, 3], blue first."""
    h, w = frame.shape[1] * 4, frame.shape[2] * 4
    luma = frame[:16].reshape(4, 4, h // 4, w // 4).transpose(2, 0, 3, 1).reshape(h, w)
    chroma = frame[16:].reshape(2, 2, 2, h // 4, w // 4).transpose(0, 3, 1, 4, 2).reshape(h // 2, w)
    return cv2.cvtColor(np.concatenate([luma, chroma]), cv2.COLOR_YUV2BGR_I420)


def keep(path, made):
    """What `made` gives, from the file if it is there: lists of frames u8, targets, weights and answers."""
    if not path.exists():
        frames, targets, weights, answers = made()
        text = json.dumps([[(quad.tolist(), is_turned) for quad, is_turned in own] for own in answers])
        np.savez_compressed(path, frames=np.stack(frames), targets=np.stack(targets), weights=np.stack(weights), answers=text)
    with np.load(path) as found:
        answers = [[(np.float32(quad), is_turned) for quad, is_turned in own] for own in json.loads(str(found["answers"]))]
        return found["frames"], found["targets"], found["weights"], answers


def marked_scenes(cache, count):
    """Scenes of the corpus, some of them turned, and what the classifier says of their lines."""
    def made():
        rng, classify, rows = np.random.default_rng(3), classifier(), []
        frames, text = (np.load(cache / f"{n}.npy", mmap_mode="r") for n in ("frames", "text"))
        for i in range(count):
            picture, probability, frame = unpacked_picture(frames[i]), text[i].astype(np.float32) / 255, frames[i]
            # So that both answers are about equally frequent; the teacher's map turns with the scene.
            if rng.random() < 0.4:
                picture, probability = picture[::-1, ::-1].copy(), probability[::-1, ::-1].copy()
                frame = pack(picture)
            rows.append((frame, *label(picture, probability, classify)))
        return zip(*rows)
    return keep(cache / f"turned-{count}.npz", made)


def marked_pictures(cache, folders):
    """Frames of the test pictures, upright and turned, and what the classifier says of their lines."""
    def made():
        classify, teacher, rows = classifier(), Teacher(), []
        pictures = [v for _, v in testset.load(cache, folders)]
        for v in pictures + [v[::-1, ::-1].copy() for v in pictures]:
            rows.append((pack(v), *label(v, teacher.run(v), classify)))
        return zip(*rows)
    frames, _, _, answers = keep(cache / "turned-real.npz", made)
    return frames, answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--scenes", type=int, default=700)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--labels-only", action="store_true", help="ask the teachers alone, whose answers are kept in the cache")
    parser.add_argument("--pictures", type=Path, action="append", default=[], help="a folder of test pictures (repeatable)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(1)
    rng = np.random.default_rng(3)
    frames, targets, weights, answers = marked_scenes(args.cache, args.scenes)
    real, marked = marked_pictures(args.cache, args.pictures)
    if args.labels_only:
        return
    device, gains = session(args.bundle / "device.onnx"), load_file(args.bundle / "tables.safetensors")["gains"]
    latents = [device.run(None, {"frame": unpack(frame)[None].astype(np.float32)})[0][0] for frame in frames]
    held = args.scenes // 7
    turned = np.mean([t for a in answers for _, t in a])
    print(f"{sum(map(len, answers))} lines of {args.scenes} scenes, {turned:.2f} of them turned", flush=True)
    head = Turned()
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=1e-2)
    useful = [i for i in range(held, args.scenes) if answers[i]]
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 30) * (0.5 + 0.5 * float(np.cos(np.pi * step / args.steps)))
        chosen = rng.choice(useful, 16)
        gain = gains[rng.integers(len(gains), size=16)][:, :, None, None]
        y = torch.from_numpy((np.rint(np.stack([latents[i] for i in chosen]) * gain) / gain).astype(np.float32))
        target, weight = (torch.from_numpy(np.stack([m[i] for i in chosen]))[:, None] for m in (targets, weights))
        loss = F.binary_cross_entropy_with_logits(head.logits(y), target, weight=weight, reduction="sum") / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"{step + 1} loss {loss.item():.3f}", flush=True)
    figures = {}
    sets = {"scenes held out": (latents[:held], answers[:held])}
    seen = [device.run(None, {"frame": unpack(v)[None].astype(np.float32)})[0][0] if m else None for v, m in zip(real, marked)]
    sets["real pictures, upright and turned"] = (seen, marked)
    for name, (ys, own) in sets.items():
        rows = [accuracy(head, ys, gains, level, own) for level in range(len(gains))]
        figures[name] = [[round(float(r / max(1, n)), 3) for r, n in zip(*row)] for row in rows]
        print(f"{name}: {rows[0][1].astype(int).tolist()} lines upright and turned, right by level: {figures[name]}", flush=True)
    write_head(args.bundle / "turned.onnx", head)
    manifest = json.loads((args.bundle / "manifest.json").read_text())
    training = {**manifest["training"], "turned": {
        "teacher": "ch_ppocr_mobile_v2.0_cls of PyPI rapidocr (Apache-2.0)", "steps": args.steps, "scenes": args.scenes,
        "right_upright_and_turned_by_level": figures}}
    write_manifest(args.bundle, [TEXT, SPEC], training)


if __name__ == "__main__":
    main()
