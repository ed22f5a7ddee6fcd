"""Train the student on the teacher's probabilities of text and on the rate. Resumable.

    python models/features/train.py --cache .siskin/features --minutes 90
"""
import argparse
import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from arch import LEVELS, Student
from teacher import head, model

# Cost of a bit per 16x16 block of each level; each level has about half of the rate of the one before.
LAMBDAS = [0.0003, 0.0008, 0.0018, 0.004, 0.009, 0.02]


def unpack(frame):
    """A frame of the corpus as the device half reads it: u8 [24, h / 4, w / 4] to [6, h / 2, w / 2]."""
    h, w = frame.shape[1:]
    luma = frame[:16].reshape(2, 2, 2, 2, h, w).transpose(1, 3, 4, 0, 5, 2).reshape(4, 2 * h, 2 * w)
    chroma = frame[16:].reshape(2, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(2, 2 * h, 2 * w)
    return np.concatenate([luma, chroma])


class Corpus:
    """Random crops of the scenes that are there by now."""

    def __init__(self, cache, side, batch, most):
        self.cache, self.side, self.batch, self.most, self.kept = Path(cache), side, batch, most, {}
        self.frames, self.text = (np.load(self.cache / f"{n}.npy", mmap_mode="r") for n in ("frames", "text"))

    def __len__(self):
        return min(self.most, json.loads((self.cache / "corpus.json").read_text())["scenes"])

    def joined(self, i, device):
        """The teacher's features of a scene, computed once: its layers take 9 of 10 parts of a step, and do not change."""
        if i not in self.kept:
            frame = torch.from_numpy(unpack(self.frames[i]).astype(np.float32))[None]
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                joined = device.joined(frame.contiguous(memory_format=torch.channels_last))[0]
            self.kept[i] = joined.to(torch.float16).numpy()
        return self.kept[i]

    def draw(self, rng, device=None):
        """A batch: frames or, with a device, their features; probabilities at half the size, their maxima in 7x7."""
        q, count, half = self.side // 4, len(self), self.side // 2
        parts = []
        for _ in range(self.batch):
            i = rng.integers(count)
            # Multiples of 32: where the teacher's and the student's own grids begin.
            y, x = rng.integers((480 - self.side) // 32 + 1) * 8, rng.integers((640 - self.side) // 32 + 1) * 8
            text = self.text[i, 4 * y: 4 * y + self.side, 4 * x: 4 * x + self.side]
            text = cv2.resize(text, (half, half), interpolation=cv2.INTER_AREA)
            # OpenCV dilates in 1/40 of the time of a max pooling in torch.
            near = cv2.dilate(text, np.ones((7, 7), np.uint8))
            if device is None:
                seen = unpack(self.frames[i][:, y: y + q, x: x + q])
            else:
                seen = self.joined(i, device)[:, y // 4: (y + q) // 4, x // 4: (x + q) // 4]
            parts.append((seen, text, near))
        frames, text, near = (torch.from_numpy(np.stack(p).astype(np.float32)) for p in zip(*parts))
        return frames.contiguous(memory_format=torch.channels_last), text[:, None] / 255, near[:, None] / 255


def text_loss(logits, target, near):
    """Cross entropy, with more weight at text and around it (`near`), and the Dice loss of DB's maps."""
    weight = 0.25 + 2 * near
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=weight)
    p = torch.sigmoid(logits)
    overlap = (p * target).sum((1, 2, 3)) + 8
    dice = 1 - 2 * overlap / ((p * p + target * target).sum((1, 2, 3)) + 16)
    return entropy + 0.5 * dice.mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--minutes", type=float, default=90, help="length of the whole training, for the learning rate")
    parser.add_argument("--whole", action="store_true", help="train the teacher's layers in the device half too: 4 times as slow")
    parser.add_argument("--scenes", type=int, default=1350, help="scenes of the corpus that are used")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(1)
    student = Student(model())
    if not (args.cache / "student.pt").exists():
        frames = np.load(args.cache / "frames.npy", mmap_mode="r")
        some = torch.stack([torch.from_numpy(unpack(frames[i]).astype(np.float32)) for i in range(0, 320, 4)])
        print(f"the bottleneck keeps {student.begin(some, head()):.3f} of the variance", flush=True)
    student = student.to(memory_format=torch.channels_last)
    # What the teacher knows already changes slowly, gains and rates fast.
    known = [*student.device.teachers(), *student.server.head.parameters()]
    fast = [student.gain, *student.bits.parameters()]
    rest = [p for p in student.parameters() if all(p is not q for q in known + fast)]
    for p in student.device.teachers():
        p.requires_grad_(args.whole)
    groups = [{"params": rest, "rate": 6e-4}, {"params": known, "rate": 1.5e-4}, {"params": fast, "rate": 5e-3}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-3)
    step, spent, file = 0, 0.0, args.cache / "student.pt"
    if file.exists():
        saved = torch.load(file, weights_only=True)
        student.load_state_dict(saved["student"])
        # A checkpoint without one is a start from elsewhere.
        if "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved.get("spent", 0.0)
        print(f"goes on at step {step}, {spent / 60:.1f} min", flush=True)
    rng, corpus, sums = np.random.default_rng([2, step]), Corpus(args.cache, args.side, args.batch, args.scenes), []
    last = saved_at = time.time()
    lambdas = torch.tensor(LAMBDAS)
    while spent < args.minutes * 60:
        part = spent / (args.minutes * 60)
        rate = min(1, (step + 1) / 100) * (1 if part < 0.35 else 0.5 * (1 + np.cos(np.pi * (part - 0.35) / 0.65)) + 0.01)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * float(rate)
        frames, text, near = corpus.draw(rng, None if args.whole else student.device)
        levels = torch.randint(LEVELS, (args.batch,))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, bits = student(frames, levels)
        logits = logits.float()
        found = text_loss(logits, text, near)
        # Rate joins gradually: latents that are driven to zero at the start never come back.
        cost = (bits.mean((1, 2)) * lambdas[levels]).mean() * min(1, 0.1 + step / 500)
        loss = found + cost
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            p, t = torch.sigmoid(logits) > 0.3, text > 0.3
            iou = (p & t).sum() / ((p | t).sum() + 1)
            sums.append([found.item(), cost.item(), iou.item(), *[
                bits[levels == k].mean().item() if (levels == k).any() else np.nan for k in (0, 2, 5)]])
        now = time.time()
        spent, last = spent + now - last, now
        if step % 50 == 0:
            m = np.nanmean(np.array(sums), 0)
            sums = []
            print(f"{step} {spent / 60:.1f} min  text {m[0]:.4f}  rate {m[1]:.4f}  IoU {m[2]:.3f}  "
                  f"bits a block {m[3]:.1f} {m[4]:.1f} {m[5]:.1f}  scenes {len(corpus)}", flush=True)
        if now - saved_at > 120 or spent >= args.minutes * 60:
            saved_at = now
            state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent": spent}
            torch.save(state, file.with_suffix(".new"))
            os.replace(file.with_suffix(".new"), file)


if __name__ == "__main__":
    main()
