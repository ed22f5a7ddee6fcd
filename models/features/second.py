"""The second task on the same latents: which lines are written in Chinese, Japanese or Korean.

The teacher is the recognition network, which reads the lines of the original picture; the map has a stride of 8. Half of the scenes
are drawn for this task alone, with as many lines of one kind as of the other; their text is known and is not read. Of what was
trained for text nothing changes here: trained are the latents that were added and the second head, which reads all latents.
Resumable.

    python models/features/second.py --cache .siskin/features --minutes 20
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
from corpus import pack
from scenes import HEIGHT, WIDTH, Sources, is_cjk, scene
from teacher import model
from train import unpack

STRIDE, SURE = 8, 0.85
# Cost of a bit per 16x16 block of each level, how much of it counts at first, and how much more a line of the rare kind counts.
LAMBDAS, RATE_BEGINS, RARE = [0.03, 0.06, 0.1, 0.18, 0.3, 0.5], 0.01, 2.0


def answer(line, sure=SURE):
    """Whether at least half of a line's letters and digits are such; None where the teacher is not sure or reads none."""
    letters = [c for c in line["text"] if c.isalnum()]
    if line["score"] < sure or not letters:
        return None
    return 2 * sum(map(is_cjk, letters)) >= len(letters)


def mask(line, h, w):
    """The pixels of a line at the stride of the map: bool [h, w]."""
    out = np.zeros((h, w), np.uint8)
    cv2.fillConvexPoly(out, np.round(np.float32(line["inner"]) / STRIDE - 0.5).astype(np.int32), 1)
    return out > 0


def targets(lines, h=HEIGHT // STRIDE, w=WIDTH // STRIDE):
    """Target and weight f32 [2, h, w]: the longer a line, the less counts each of its pixels."""
    out = np.zeros((2, h, w), np.float32)
    for line in lines:
        # What is read with less certainty still says more than nothing.
        inside, own = mask(line, h, w), answer(line, 0.7)
        if own is not None and inside.any():
            out[0][inside], out[1][inside] = own, 1 / inside.sum() ** 0.5
    return out


def joined(device, frame):
    """The teacher's features of a frame of the corpus, f16 [144, h / 16, w / 16]."""
    frame = torch.from_numpy(unpack(frame).astype(np.float32))[None].contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        return device.joined(frame)[0].half()


class Scenes:
    """Whole scenes: the teacher's features, which do not change, and targets."""

    def __init__(self, cache, student):
        self.cache, self.student = Path(cache), student
        self.frames = np.load(self.cache / "frames.npy", mmap_mode="r")
        self.joined, self.targets, self.rare, self.drawn = [], [], [], []

    def __len__(self):
        """Takes the scenes in that were made since."""
        count = json.loads((self.cache / "corpus.json").read_text())["scenes"]
        if count > len(self.joined):
            texts = (self.cache / "lines.jsonl").read_text().splitlines()
            for i in range(len(self.joined), count):
                self.joined.append(joined(self.student.device, self.frames[i]))
                lines = json.loads(texts[i])
                self.targets.append(torch.from_numpy(targets(lines)))
                if any(answer(line) for line in lines):
                    self.rare.append(i)
        return count

    def draw_scenes(self, count):
        """Make scenes for this task alone; their features are kept."""
        kept, sources = self.cache / "drawn", None
        kept.mkdir(exist_ok=True)
        for i in range(count):
            path = kept / f"{i}.pt"
            if not path.exists():
                sources, lines = sources or Sources(self.cache, 0.5), []
                frame = pack(scene(sources, np.random.default_rng([8, i]), lines))
                torch.save((joined(self.student.device, frame), torch.from_numpy(targets(lines))), path)
            self.drawn.append(torch.load(path, weights_only=True))

    def draw(self, rng, batch):
        """A batch of features and targets: half of the scenes are drawn ones, a quarter others with lines of the rare kind."""
        count, parts = len(self), []
        for k in range(batch):
            i = self.rare[rng.integers(len(self.rare))] if k % 4 == 0 else rng.integers(count)
            parts.append(self.drawn[rng.integers(len(self.drawn))] if k % 2 else (self.joined[i], self.targets[i]))
        features, truth = zip(*parts)
        return torch.stack(features).float(), torch.stack(truth)


def second_loss(logits, target, weight):
    """Cross entropy over lines."""
    weight = weight * (1 + (RARE - 1) * target)
    return F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum") / weight.sum().clamp(min=1)


@torch.no_grad()
def begin(student, scenes):
    """Make channels alike that go into what is trained: their deviations differ by a factor of ten."""
    some = torch.stack(scenes.joined[:60]).float()
    added, spread = student.device.added, lambda x: x.std((0, 2, 3))[:, None, None].clamp(min=1e-3)
    added.mean.copy_(some.mean((0, 2, 3))[:, None, None])
    added.scale.copy_(1 / spread(some))
    student.marks.scale[: len(student.gain[0])].copy_(1 / spread(student.device.narrow(some)))
    # Several values of each of the new ones at first, and fewer the coarser: those that begin as zeros stay zeros.
    last, now = added.body[-1], spread(added(some))
    last.weight.div_(now[..., None])
    last.bias.div_(now.flatten())
    student.added_gain.copy_(np.log(3) - 0.25 * torch.arange(LEVELS)[:, None].expand_as(student.added_gain))
    student.added_bits.width.fill_(0.5)


def report(sums, step, spent, scenes):
    m = np.nanmean(np.array(sums), 0)
    print(f"{step} {spent / 60:.1f} min  second {m[0]:.4f}  rate {m[1]:.4f}  bits a block {m[2]:.3f} {m[3]:.3f} {m[4]:.3f}  "
          f"scenes {scenes}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--minutes", type=float, default=20, help="length of the whole training, for the learning rate")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--drawn", type=int, default=1500, help="scenes that are drawn for this task alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(2)
    student, file = Student(model()), args.cache / "student.pt"
    saved = torch.load(file, weights_only=True)
    # A checkpoint of before there was a second task has nothing of it.
    student.load_state_dict(saved["student"], strict=False)
    student.eval()
    scenes, state = Scenes(args.cache, student), saved.get("second", {"step": 0, "spent": 0.0})
    print(f"{len(scenes)} scenes, {len(scenes.rare)} with the rare kind; goes on at step {state['step']}", flush=True)
    if "second" not in saved:
        begin(student, scenes)
    scenes.draw_scenes(args.drawn)
    student.requires_grad_(False)
    student.train()
    slow = [*student.device.added.parameters(), *student.marks.parameters()]
    fast = [student.added_gain, *student.added_bits.parameters()]
    for parameter in slow + fast:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW([{"params": slow, "rate": 2e-3}, {"params": fast, "rate": 5e-3}], lr=1e-3, weight_decay=5e-2)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    step, spent, sums = state["step"], state["spent"], []
    rng, lambdas = np.random.default_rng([5, step]), torch.tensor(LAMBDAS)
    last = saved_at = time.time()
    while spent < args.minutes * 60:
        part = spent / (args.minutes * 60)
        rate = min(1, (step + 1) / 40) * (0.5 * (1 + np.cos(np.pi * part)) + 0.01)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * float(rate)
        features, truth = scenes.draw(rng, args.batch)
        levels = torch.randint(LEVELS, (args.batch,))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, bits = student.second(features, levels)
        found = second_loss(logits.float(), truth[:, :1], truth[:, 1:])
        # Rate joins gradually: latents that are driven to zero at the start never come back.
        cost = (bits.mean((1, 2)) * lambdas[levels]).mean() * (RATE_BEGINS + (1 - RATE_BEGINS) * part**2)
        optimizer.zero_grad()
        (found + cost).backward()
        torch.nn.utils.clip_grad_norm_([*slow, *fast], 1.0)
        optimizer.step()
        step += 1
        own = [bits[levels == k].mean().item() if (levels == k).any() else np.nan for k in (0, 2, 5)]
        sums.append([found.item(), cost.item(), *own])
        now = time.time()
        spent, last = spent + now - last, now
        if step % 25 == 0:
            report(sums, step, spent, len(scenes))
            sums = []
        if now - saved_at > 60 or spent >= args.minutes * 60:
            saved_at = now
            state = {"step": step, "spent": spent, "optimizer": optimizer.state_dict()}
            torch.save({**saved, "student": student.state_dict(), "second": state}, file.with_suffix(".new"))
            os.replace(file.with_suffix(".new"), file)


if __name__ == "__main__":
    main()
