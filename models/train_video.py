"""Train the real-time video mode: rate and distortion over chains of frames, each predicted from the one before as
decoded, moved by block motion.

  python models/data/video.py                       the corpus
  python models/train_video.py --run .siskin/video/run --minutes 60
Goes on from RUN/state.pt if it is there; writes RUN/log.csv. Every quality is trained at once: a sequence draws one,
and the weight of its bits follows the step, 0.17 step^2, as in codecs with scalar quantisation.
"""
import argparse
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch

from siskin_video import arch, layout

HELD = 64
WEIGHT, DEAD = 0.17, 0.12


def planes(block):
    """u8 [B, 128 * 192] -> Y, U, V in -0.5 to 0.5."""
    x = torch.from_numpy(block.astype(np.float32)) / 255 - 0.5
    n, side = len(x), 128
    luma, half = side * side, side // 2
    return (x[:, :luma].view(n, 1, side, side), x[:, luma: luma + half * half].view(n, 1, half, half),
            x[:, luma + half * half:].view(n, 1, half, half))


def eight_bits(quarter):
    """What the next frame sees: 8-bit samples; gradients pass."""
    rounded = (torch.round(quarter.clamp(-0.5, 0.5) * 255 + 0.5) - 0.5) / 255
    return quarter + (rounded - quarter).detach()


def age(codec, quarter, quality):
    """A picture as it is late in a chain: what the dead zone never corrected has filled it."""
    size = (arch.step(quality) / 255)[:, None, None, None]
    n, _, h, w = quarter.shape
    # Some sequences are old, some young; and of the latents any part.
    far, part = (torch.rand(n, 1, 1, 1) for _ in range(2))
    noise = (torch.rand(n, layout.CHANNELS, h // 2, w // 2) * 2 - 1) * 0.8 * far
    noise = noise * (torch.rand_like(noise) < part)
    return quarter + layout.unpack(codec.decoder.linear(noise * size)).detach()


def run(codec, frames, motion, quality, dead=DEAD, aged=False):
    """A chain: lists of squared errors [B] and bits a pixel [B] of each frame. One that is `aged` begins in the middle."""
    errors, rates, before, previous = [], [], None, None
    for t in range(frames.shape[1]):
        if aged and t == 0:
            before = eight_bits(age(codec, layout.join(planes(frames[:, 0])), quality))
            previous = torch.zeros_like(layout.pack(before))
            continue
        picture = layout.join(planes(frames[:, t]))
        prediction = torch.zeros_like(picture)
        if t:
            vectors = torch.from_numpy(motion[:, t - 1].astype(np.float32)) / 4
            prediction = layout.join(layout.warp(layout.split(before), vectors))
        q = quality - 3 if t == 0 else quality
        out, latents, bits = codec.frame(picture, prediction, q, arch.LATEST if aged else t, previous, dead)
        before, previous = eight_bits(out), latents
        errors.append(layout.squared_error(out, picture))
        rates.append(bits / (16 * picture.shape[2] * picture.shape[3]))
    return errors, rates


def loss_of(errors, rates, quality):
    size = arch.step(quality)
    cost = sum(e / (WEIGHT * size ** 2) + r for e, r in zip(errors, rates)) / len(errors)
    # Coarse steps would hardly count: their bits are few.
    return (cost * (size / 16) ** 0.7).mean()


@torch.no_grad()
def examine(codec, frames, motion):
    """Rate and distortion of the held sequences at three qualities."""
    rows = []
    for q in (10, 20, 30):
        e, r = [], []
        for i in range(0, len(frames), 16):
            part = run(codec, frames[i: i + 16], motion[i: i + 16], torch.full((len(frames[i: i + 16]),), float(q)))
            e.append(torch.stack(part[0])), r.append(torch.stack(part[1]))
        e, r = torch.cat(e, 1), torch.cat(r, 1)
        level = lambda x: float((10 * torch.log10(65025 / x.clamp(min=0.1))).mean())
        rows.append((level(e[0]), float(r[0].mean()), level(e[1:]), float(r[1:].mean())))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/video"))
    parser.add_argument("--run", type=Path, default=Path(".siskin/video/run"))
    parser.add_argument("--minutes", type=float, default=60, help="length of the schedule; a run that goes on keeps its clock")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--aged", type=float, default=0.0, help="part of the chains that begin in the middle, with noise")
    parser.add_argument("--start", type=Path, help="weights to begin from")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    args.run.mkdir(parents=True, exist_ok=True)
    frames, motion = (np.load(args.cache / f"{n}.npy", mmap_mode="r") for n in ("sequences", "motion"))
    held, train = slice(0, HELD), np.arange(HELD, len(frames))
    codec = arch.Codec().to(memory_format=torch.channels_last)
    linear = [p for n, p in codec.named_parameters() if "linear" in n]
    rest = [p for n, p in codec.named_parameters() if "linear" not in n]
    optimiser = torch.optim.Adam([{"params": rest, "scale": 1.0}, {"params": linear, "scale": 0.15}], betas=(0.9, 0.98))
    state, spent, steps = args.run / "state.pt", 0.0, 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        codec.load_state_dict(saved["codec"]), optimiser.load_state_dict(saved["optimiser"])
        spent, steps = saved["spent"], saved["steps"]
    elif args.start:
        codec.load_state_dict(torch.load(args.start, weights_only=True)["codec"])
    log, mean, clock = open(args.run / "log.csv", "a", newline=""), None, time.time()
    rng = np.random.default_rng(steps + 1)

    def note():
        rows = examine(codec, np.array(frames[held]), np.array(motion[held]))
        flat = [f"{x:.4f}" for row in rows for x in row]
        csv.writer(log).writerow([steps, f"{spent / 60:.1f}", f"{mean or 0:.4f}", *flat])
        log.flush()
        torch.save({"codec": codec.state_dict(), "optimiser": optimiser.state_dict(), "spent": spent, "steps": steps},
                   args.run / "state.tmp")
        (args.run / "state.tmp").rename(state)

    if steps == 0:
        note()
    while spent < args.minutes * 60:
        done = spent / (args.minutes * 60)
        rate = args.rate * min(1, (steps + 1) / 50) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        chosen = np.sort(rng.choice(train, args.batch, replace=False))
        block, vectors = np.array(frames[chosen]), np.array(motion[chosen])
        quality = torch.from_numpy(rng.uniform(3, 44, args.batch).astype(np.float32))
        dead = float(rng.uniform(0.05, 0.35))
        errors, rates = run(codec, block, vectors, quality, dead, rng.random() < args.aged)
        loss = loss_of(errors, rates, quality)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        if torch.isfinite(norm):
            optimiser.step()
        value = float(loss.detach())
        mean = value if mean is None else 0.99 * mean + 0.01 * value
        steps += 1
        now = time.time()
        spent, clock = spent + now - clock, now
        if steps % 300 == 0:
            note()
    note()


if __name__ == "__main__":
    main()
