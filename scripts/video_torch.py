#!/usr/bin/env python3
"""The training step of `siskin encode --preset ...` in PyTorch, to compare speeds.

    OMP_NUM_THREADS=2 python scripts/video_torch.py 180 320 9 16 --embedding 2 --time 16 1,1,20 5,1,17 2,3,14 2,3,12 1,3,12

The blocks are those that `siskin encode` would use: enlargement, kernel, channels. The loss is the same, and so is the
optimiser; pictures are noise, which costs the same time. It prints seconds of processor and of clock for a step.
"""

import argparse
import math
import sys
import pathlib
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "models/tests"))
from golden_video_loss import EXPONENTS  # noqa: E402


class Residual(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.modulation = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, channels, 1)) for _ in range(4)
        )

    def forward(self, x, code):
        s = [m(code) for m in self.modulation]
        y = F.gelu(self.conv[0](x * (1 + s[0]) + s[1]))
        return x + self.conv[1](y * (1 + s[2]) + s[3])


class Decoder(nn.Module):
    def __init__(self, embedding, width, blocks):
        super().__init__()
        self.time = nn.ModuleList([nn.Conv2d(160, 2 * width, 1), nn.Conv2d(2 * width, width, 1)])
        self.conv, self.residual, self.strides = nn.ModuleList(), nn.ModuleList(), []
        channels = embedding
        for stride, kernel, out in blocks:
            self.conv.append(nn.Conv2d(channels, out * stride * stride, kernel, padding=kernel // 2))
            self.residual.append(Residual(out, width))
            self.strides.append(stride)
            channels = out
        self.head = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x, time_code):
        for layer in self.time:
            time_code = torch.sin(layer(time_code))
        for conv, residual, stride in zip(self.conv, self.residual, self.strides):
            x = conv(x)
            x = torch.sin(F.pixel_shuffle(x, stride) if stride > 1 else x)
            x = residual(x, time_code)
        return torch.tanh(self.head(x)) / 2 + 0.5


def taps():
    at = torch.arange(11.0) - 5
    values = torch.exp(-at * at / 4.5)
    return values / values.sum()


TAPS = taps()


def blur(x):
    c = x.shape[1]
    x = F.conv2d(x, TAPS.reshape(1, 1, 11, 1).repeat(c, 1, 1, 1), groups=c)
    return F.conv2d(x, TAPS.reshape(1, 1, 1, 11).repeat(c, 1, 1, 1), groups=c)


def ms_ssim(x, y):
    scales = max((n for n in range(1, 6) if min(x.shape[2:]) > 10 << (n - 1)), default=0)
    exponents = torch.tensor(EXPONENTS[:scales])
    exponents = exponents / exponents.sum()
    product = 1
    for n in range(scales):
        mx, my, xx, yy, xy = blur(torch.cat([x, y, x * x, y * y, x * y], 1)).split(3, 1)
        vx, vy, cov = xx - mx * mx, yy - my * my, xy - mx * my
        part = (2 * cov + 9e-4) / (vx + vy + 9e-4)
        if n == scales - 1:
            part = part * (2 * mx * my + 1e-4) / (mx * mx + my * my + 1e-4)
        product = product * part.mean(dim=(2, 3)).clamp(min=1e-6) ** exponents[n]
        padding = [s % 2 for s in x.shape[2:]]
        x, y = F.avg_pool2d(x, 2, padding=padding), F.avg_pool2d(y, 2, padding=padding)
    return product.mean()


def loss(x, y):
    error = torch.fft.fft2(x - y)
    frequency = torch.stack([error.real, error.imag]).abs().mean()
    return 60 * (0.7 * (x - y).abs().mean() + 0.3 * (1 - ms_ssim(x, y))) + frequency


class Adan:
    """One vector for all parameters, as fast as PyTorch can be told to do it."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.memory = [[torch.zeros_like(p) for p in self.parameters] for _ in range(4)]
        self.step_count = 0

    @torch.no_grad()
    def step(self, rate):
        self.step_count += 1
        c = [1 - b**self.step_count for b in (0.98, 0.92, 0.99)]
        mean, drift, power, before = self.memory
        gradient = [p.grad for p in self.parameters]
        change = torch._foreach_sub(gradient, before) if self.step_count > 1 else [torch.zeros_like(g) for g in gradient]
        torch._foreach_mul_(mean, 0.98), torch._foreach_add_(mean, gradient, alpha=0.02)
        torch._foreach_mul_(drift, 0.92), torch._foreach_add_(drift, change, alpha=0.08)
        ahead = torch._foreach_add(gradient, change, alpha=0.92)
        torch._foreach_mul_(power, 0.99), torch._foreach_addcmul_(power, ahead, ahead, value=0.01)
        root = torch._foreach_sqrt(power)
        torch._foreach_div_(root, math.sqrt(c[2])), torch._foreach_add_(root, 1e-8)
        direction = torch._foreach_div(mean, c[0])
        torch._foreach_add_(direction, drift, alpha=0.92 / c[1])
        torch._foreach_addcdiv_(self.parameters, direction, root, value=-rate)
        self.memory[3] = [g.clone() for g in gradient]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("rows", "columns", "base_rows", "base_columns"):
        parser.add_argument(name, type=int)
    parser.add_argument("blocks", nargs="+")
    parser.add_argument("--embedding", type=int, default=2)
    parser.add_argument("--time", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    blocks = [tuple(map(int, b.split(","))) for b in args.blocks]
    decoder = Decoder(args.embedding, args.time, blocks)
    embedding = torch.rand(1, args.embedding, args.base_rows, args.base_columns, requires_grad=True)
    code, target = torch.randn(1, 160, 1, 1), torch.rand(1, 3, args.rows, args.columns)
    parameters = [*decoder.parameters(), embedding]
    optimiser = Adan(parameters)
    print("parameters", sum(p.numel() for p in decoder.parameters()), "torch", torch.__version__)
    times = []
    for _ in range(args.steps):
        clock, processor = time.perf_counter(), time.process_time()
        for p in parameters:
            p.grad = None
        loss(decoder(embedding, code)[:, :, : args.rows, : args.columns], target).backward()
        optimiser.step(1e-4)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    times = times[len(times) // 5 :]
    clock, processor = (sorted(t[i] for t in times)[len(times) // 2] for i in (0, 1))
    print(f"a step: {clock * 1e3:.1f} ms of clock, {processor * 1e3:.1f} ms of processor; best {min(t[0] for t in times) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
