"""The second head of `text-features`: which lines of a page are titles. It reads the frozen latents, of all levels.

    python models/features/second.py --minutes 12          # trains and writes .siskin/features/second.pt
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from arch import LATENTS, LEVELS, Block
from layout import KINDS
from safetensors.numpy import load_file
from torch import nn

# What the network learns: kinds of the layout teacher that count as one. The bundle has titles alone, which are told best.
PROPERTIES = {"paragraph": ("text", "reference"), "figure": ("figure", "table"), "title": ("title",)}
BITS = [sum(1 << KINDS.index(k) for k in kinds) for kinds in PROPERTIES.values()]
SHIPPED = "title"
CHANNELS, MAP_STRIDE = 40, 8


class PageHead(nn.Module):
    """Latents to logits at an eighth of the size. What a line is depends on what is far from it, so half of the blocks see the
    page at a stride of 32 and 64."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(1, LATENTS, 1, 1))
        self.first = nn.Conv2d(LATENTS, CHANNELS, 1)
        self.fine, self.last = Block(CHANNELS, 7), Block(CHANNELS, 7)
        self.middle, self.after = nn.Sequential(Block(CHANNELS, 7), Block(CHANNELS, 7)), Block(CHANNELS, 7)
        self.coarse = nn.Sequential(Block(CHANNELS, 7), Block(CHANNELS, 7))
        self.out = nn.Conv2d(CHANNELS, len(PROPERTIES) * 4, 1)

    def forward(self, latents):
        x = self.fine(self.first(latents * self.scale))
        middle = self.middle(halved(x))
        coarse = self.coarse(halved(middle))
        middle = self.after(middle + grown(coarse, middle))
        x = self.last(x + grown(middle, x))
        return F.pixel_shuffle(self.out(F.relu(x)), 2)


def halved(x):
    """Half the size; an odd row or column at the end counts by itself."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def grown(x, like):
    """Twice the size, as far as `like` reaches."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]


def rounded(latents, gains):
    """Latents as a server gets them, f32."""
    gains = gains[:, None, None]
    return np.rint(latents.astype(np.float32) * gains) / gains


def targets(kinds):
    """Maps of the properties, f32 [properties, h, w]."""
    return np.stack([(kinds & bits) > 0 for bits in BITS]).astype(np.float32)


class Frames:
    """The corpus in memory; a batch has frames of one size."""

    def __init__(self, folder):
        self.frames, self.sizes = [], {}
        for path in sorted(Path(folder).glob("*.npz")):
            with np.load(path) as saved:
                frame = saved["latents"], saved["text"], saved["kinds"]
            self.sizes.setdefault(frame[0].shape, []).append(len(self.frames))
            self.frames.append(frame)

    def draw(self, rng, count, gains):
        of_size = list(self.sizes.values())
        some = of_size[rng.choice(len(of_size), p=[len(s) / len(self.frames) for s in of_size])]
        parts = []
        for i in rng.choice(some, count):
            latents, text, kinds = self.frames[i]
            parts.append((rounded(latents, gains[rng.integers(LEVELS)]), text[None] / np.float32(255), targets(kinds)))
        return [torch.from_numpy(np.stack(p)) for p in zip(*parts)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    gains, frames = load_file(args.bundle / "tables.safetensors")["gains"], Frames(args.cache / "pages-train")
    head, rng = PageHead().to(memory_format=torch.channels_last), np.random.default_rng(args.seed)
    power = np.mean([np.square(f[0], dtype=np.float32).mean((1, 2)) for f in frames.frames], 0)
    head.scale.copy_(torch.from_numpy(power ** -0.5)[None, :, None, None])
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.02)
    # Titles are few.
    rare = torch.tensor([1.0, 1.5, 3.0])[None, :, None, None]
    step, begun, sums = 0, time.time(), []
    while (part := (time.time() - begun) / 60 / args.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * (0.5 * (1 + np.cos(np.pi * part)) + 0.01)
        latents, text, wanted = frames.draw(rng, args.batch, gains)
        logits = head(latents.contiguous(memory_format=torch.channels_last))
        # A property is one of lines: what lies between them counts little.
        weight = 0.1 + 2 * text
        loss = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=rare, reduction="none")
        loss = (loss * weight).mean() / weight.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        step += 1
        sums.append(loss.item())
        if step % 100 == 0:
            print(f"{step} {part * args.minutes:.1f} min  {np.mean(sums):.4f}", flush=True)
            sums = []
    torch.save({"head": head.state_dict(), "step": step, "frames": len(frames.frames)}, args.cache / "second.pt")


if __name__ == "__main__":
    main()
