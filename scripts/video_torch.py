#!/usr/bin/env python3
"""The network of a file that `siskin encode --preset nerv-fast|nerv|nerv-slow|nerv-placebo` wrote, in PyTorch:
its training step timed, or the whole fit run again from nothing.

    OMP_NUM_THREADS=1 python scripts/video_torch.py coded.mkv
    OMP_NUM_THREADS=1 python scripts/video_torch.py coded.mkv --fit clip.y4m --epochs 30 10 --rates 1e-2 2e-3 --bytes 40000

The network is read from the file's first packet as docs/video-bitstream.md describes it, so this is also a reader that knows
nothing but that text. Loss, optimiser, schedule and the coding phase are those of the encoder; without --fit pictures are noise,
which costs the same time. `--fit` prints the PSNR of the last pass before coding, and after coding with the size that
the normal distributions promise, which a range coder comes within some per mille of; no bytes are written.
"""

import argparse
import itertools
import json
import math
import pathlib
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "models/tests"))
from golden_video_loss import EXPONENTS  # noqa: E402

FREQUENCIES, RATIO = 80, 1.25
DISENTANGLED = 128
HEADS = (1, 8)
# As in codec-core/src/video: what is added to logarithms, the learning of steps, the weight of the bits.
DEVIATION_FLOOR, PROBABILITY_FLOOR, STEP_RATE, LAMBDA_CHANGE = 0.03, 1e-5, 10.0, (0.6, 2.5)
OVERHEAD = (60, 7, 3)


def read_network(path):
    """The network of the first packet, and its frames."""
    data = pathlib.Path(path).read_bytes()
    first = data.index(b"SKV\x01")
    at = data.index(b"SKV\x01", first + 1) + 4

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    durations = data[at - 5] & 0x20
    width, height = varint(), varint()
    for _ in range(4):
        varint()
    at += 4
    varint()
    frames = varint()
    for _ in range(frames if durations else 0):
        varint()
    kind, grid, time_width = data[at], data[at + 1], data[at + 2]
    at += 3
    assert grid == 0, "grids of coordinate-aware modulation are not here"
    base = varint(), varint()
    embedding = kind if kind < DISENTANGLED else 0
    stem = embedding or varint()
    token = 0
    if kind == DISENTANGLED:
        token, at = data[at], at + 1
    head, count = data[at], data[at + 1]
    at += 2
    blocks = []
    for _ in range(count):
        stride, kernel = data[at], data[at + 1]
        at += 2
        blocks.append((stride, kernel, varint()))
    return {"width": width, "height": height, "frames": frames, "base": base, "embedding": embedding, "time": time_width,
            "stem": stem, "token": token, "head": head, "blocks": blocks}


def encode(at):
    angles = at * math.pi * RATIO ** torch.arange(FREQUENCIES, dtype=torch.float64)
    return torch.cat([angles.sin(), angles.cos()]).float()


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

    def groups(self):
        return [[self.conv[0].weight], [self.conv[1].weight], [m[i].weight for i in (0, 2) for m in self.modulation]]


class Transformer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, half = heads, width // 2
        self.qkv = nn.Linear(width, 3 * heads * half, bias=False)
        self.out = nn.Linear(heads * half, width)
        self.net = nn.Sequential(nn.Linear(width, half), nn.GELU(), nn.Linear(half, width))

    def forward(self, x):
        q, k, v = (t.reshape(len(x), self.heads, -1).transpose(0, 1) for t in self.qkv(x).chunk(3, -1))
        y = torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, -1) @ v
        x = x + self.out(y.transpose(0, 1).reshape(len(x), -1))
        return x + self.net(x)

    def groups(self):
        return [[self.qkv.weight], [self.out.weight], [self.net[0].weight], [self.net[2].weight]]


class Stem(nn.Module):
    """Features of the smallest grid from the time's encoding."""

    def __init__(self, net):
        super().__init__()
        self.shape = 1, net["stem"], *net["base"]
        self.is_apart = net["token"] > 0
        if not self.is_apart:
            self.time = nn.ModuleList([nn.Linear(160, 256), nn.Linear(256, math.prod(self.shape))])
            return
        width, (rows, columns) = net["token"], net["base"]
        self.time = nn.ModuleList([nn.Linear(160, 2 * width), nn.Linear(2 * width, width)])
        self.place = nn.Linear(320, width)
        self.blocks = nn.ModuleList(Transformer(width, heads) for heads in HEADS)
        self.out = nn.Linear(width, net["stem"])
        places = itertools.product(range(rows), range(columns))
        self.places = torch.stack([torch.cat([encode(r / rows), encode(c / columns)]) for r, c in places])

    def forward(self, t):
        for layer in self.time:
            t = torch.sin(layer(t))
        if not self.is_apart:
            return t.reshape(self.shape)
        x = self.blocks[0](torch.sin(self.place(self.places))) * t
        return torch.sin(self.out(self.blocks[1](x))).T.reshape(self.shape)

    def groups(self):
        own = [[layer.weight] for layer in self.time]
        if self.is_apart:
            own += [[self.place.weight], *self.blocks[0].groups(), *self.blocks[1].groups(), [self.out.weight]]
        return own


class Decoder(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, width = net, net["time"]
        self.stem = None if net["embedding"] else Stem(net)
        self.time = nn.ModuleList([nn.Conv2d(160, 2 * width, 1), nn.Conv2d(2 * width, width, 1)])
        self.conv, self.second, self.residual = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = net["stem"]
        for index, (stride, kernel, out) in enumerate(net["blocks"]):
            between = max(1, net["stem"] // 4) if net["token"] and index == 0 else out
            self.conv.append(nn.Conv2d(channels, between * stride * stride, kernel, padding=kernel // 2))
            self.second.append(nn.Conv2d(between, out, 3, padding=1) if net["token"] and index == 0 else nn.Identity())
            self.residual.append(Residual(out, width))
            channels = out
        self.head = nn.Conv2d(channels, 3, net["head"], padding=net["head"] // 2)

    def forward(self, t, embedding=None):
        x = embedding if self.stem is None else self.stem(t)
        code = t[None, :, None, None]
        for layer in self.time:
            code = torch.sin(layer(code))
        for conv, second, residual, (stride, _, _) in zip(self.conv, self.second, self.residual, self.net["blocks"]):
            x = conv(x)
            x = torch.sin(second(F.pixel_shuffle(x, stride) if stride > 1 else x))
            x = residual(x, code)
        return (torch.tanh(self.head(x)) / 2 + 0.5)[:, :, : self.net["height"], : self.net["width"]]

    def groups(self):
        """Parameters that share a quantiser, as in the stream: weights, all biases last."""
        own = [] if self.stem is None else self.stem.groups()
        own.append([layer.weight for layer in self.time])
        for conv, second, residual in zip(self.conv, self.second, self.residual):
            own += [[conv.weight]] + ([[second.weight]] if isinstance(second, nn.Conv2d) else []) + residual.groups()
        return [*own, [self.head.weight], [p for n, p in self.named_parameters() if n.endswith("bias")]]


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


def distortion(x, y):
    error = torch.fft.fft2(x - y)
    frequency = torch.stack([error.real, error.imag]).abs().mean()
    return 60 * (0.7 * (x - y).abs().mean() + 0.3 * (1 - ms_ssim(x, y))) + frequency


class Adan:
    """All parameters in few calls, as fast as PyTorch can be told to do it."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.memory = [[torch.zeros_like(p) for p in self.parameters] for _ in range(4)]
        self.step_count = 0

    @torch.no_grad()
    def step(self, rate):
        self.step_count += 1
        c = [1 - b**self.step_count for b in (0.98, 0.92, 0.99)]
        mean, drift, power, before = self.memory
        gradient = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
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
        for p in self.parameters:
            p.grad = None


def cost(values, step, noise):
    """What is decoded of values, and the bits of their symbols under a normal distribution of their mean and deviation."""
    code = values / step
    rounded = code + (code.round() - code).detach()
    mean = code.mean()
    deviation = (((code - mean) ** 2).mean() + DEVIATION_FLOOR**2).sqrt()
    at = (code + torch.rand_like(code) - 0.5 if noise else code.round()) - mean
    scale = math.sqrt(0.5) / deviation
    share = (torch.erf((at + 0.5) * scale) - torch.erf((at - 0.5) * scale)) / 2
    return rounded * step, (-torch.log2(share + PROBABILITY_FLOOR)).clamp(min=0).sum()


def steps_a_deviation(bits):
    """The step in deviations at which a rounded normal variable has this entropy."""
    low, high = 1e-3, 1e2
    for _ in range(60):
        step = math.sqrt(low * high)
        fine = 0.5 * math.log2(2 * math.pi * math.e * (step**-2 + 1 / 12)) * (1 - math.exp(-2 / step))
        low, high = (step, high) if fine > bits else (low, step)
    return high


def curve(step, steps, coding):
    at, warm = step / steps, 0 if coding else 0.1
    return 0.1 + 0.9 * at / warm if at < warm else 0.5 + 0.5 * math.cos(math.pi * (at - warm) / (1 - warm))


class Fit:
    def __init__(self, net, frames, seed):
        torch.manual_seed(seed)
        self.net, self.frames, self.decoder = net, frames, Decoder(net)
        self.times = [encode((i + 1) / len(frames)) for i in range(len(frames))]
        self.embeddings = None
        if net["embedding"]:
            first = torch.rand(1, net["embedding"], *net["base"]) - 0.5
            self.embeddings = [first.clone().requires_grad_() for _ in frames]
        self.log_steps = None

    def coded(self, index, noise, coarser=0.0):
        """Parameters by name and embedding as a decoder has them, with the bits of both."""
        if self.log_steps is None:
            return None, self.embeddings and self.embeddings[index], 0, 0
        steps = (self.log_steps + coarser * math.log(2) / 16).exp()
        names = {id(p): n for n, p in self.decoder.named_parameters()}
        seen, bits = {}, 0
        for step, group in zip(steps, self.decoder.groups()):
            flat, own = cost(torch.cat([p.flatten() for p in group]), step, noise)
            bits = bits + own
            for p, part in zip(group, flat.split([p.numel() for p in group])):
                seen[names[id(p)]] = part.reshape(p.shape)
        if not self.embeddings:
            return seen, None, bits, torch.zeros(())
        embedding, of_frame = cost(self.embeddings[index].flatten(), steps[-1], noise)
        return seen, embedding.reshape(self.embeddings[index].shape), bits, of_frame

    def picture(self, index, seen, embedding):
        inputs = (self.times[index], embedding)
        return self.decoder(*inputs) if seen is None else torch.func.functional_call(self.decoder, seen, inputs)

    def phase(self, epochs, top, bits, coding):
        count, pixels = len(self.frames), self.net["width"] * self.net["height"]
        weights, rate = Adan(self.decoder.parameters()), 0
        of_steps = Adan([self.log_steps]) if coding else None
        of_embeddings = [Adan([e]) for e in self.embeddings or []]
        weight, steps, done = 10.0, epochs * count, 0
        for _ in range(epochs):
            total, self.seen = 0, 0
            for index in torch.randperm(count).tolist():
                rate = top * curve(done, steps, coding)
                done += 1
                seen, embedding, own, of_frame = self.coded(index, noise=True)
                picture = self.picture(index, seen, embedding)
                loss = distortion(picture, self.frames[index])
                self.seen -= 10 * math.log10((picture.detach() - self.frames[index]).square().mean().item()) / count
                if coding:
                    loss = loss + weight / pixels * (own / count + of_frame)
                    total += of_frame.item()
                loss.backward()
                weights.step(rate)
                if coding:
                    of_steps.step(rate * STEP_RATE)
                if of_embeddings:
                    of_embeddings[index].step(rate)
            if coding:
                ratio = (own.item() + total + self.beside()) / bits
                weight = min(1e5, max(1e-4, weight * min(max(ratio**2, LAMBDA_CHANGE[0]), LAMBDA_CHANGE[1])))

    def beside(self):
        return 8 * (OVERHEAD[0] + OVERHEAD[1] * len(self.decoder.groups()) + OVERHEAD[2] * len(self.frames))

    def begin_steps(self, bits):
        groups = [torch.cat([p.detach().flatten() for p in g]) for g in self.decoder.groups()]
        if self.embeddings:
            groups.append(torch.cat([e.detach().flatten() for e in self.embeddings]))
        each = (bits - self.beside()) / sum(g.numel() for g in groups)
        share = steps_a_deviation(min(max(each, 0.1), 8.0))
        steps = [math.log(max(g.std(unbiased=False).item(), 1e-4) * share) for g in groups]
        self.log_steps = torch.tensor(steps, requires_grad=True)

    @torch.no_grad()
    def measure(self, coarser=0.0):
        """Mean PSNR and MS-SSIM of the pictures as 8 bits, and the bits of all."""
        psnr, similarity, bits = 0, 0, self.beside()
        for index, frame in enumerate(self.frames):
            seen, embedding, own, of_frame = self.coded(index, False, coarser)
            picture = (self.picture(index, seen, embedding) * 255).round() / 255
            psnr -= 10 * math.log10(max(1e-10, (picture - frame).square().mean().item())) / len(self.frames)
            similarity += ms_ssim(picture, frame).item() / len(self.frames)
            bits += float(of_frame) + (float(own) if index == 0 else 0)
        return psnr, similarity, bits


def read_frames(path, net):
    """RGB of 8 bits by swscale with the default matrix, as the encoder makes it."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-frames:v", str(net["frames"]), "-f", "rawvideo", "-pix_fmt",
                          "rgb24", "-"], check=True, capture_output=True).stdout
    pictures = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, net["height"], net["width"], 3)
    return [p.permute(2, 0, 1)[None].contiguous().float() / 255 for p in pictures]


def run_fit(net, args):
    torch.set_flush_denormal(True)
    start = time.perf_counter()
    fit = Fit(net, read_frames(args.fit, net), args.seed)
    # Attention is given half the rate, as by the encoder.
    fit.phase(args.epochs[0], args.rates[0] * (0.5 if net["token"] else 1), None, False)
    result = {"frames": len(fit.frames), "psnr_before_coding": fit.seen}
    if args.epochs[1]:
        bits = 8 * args.bytes
        fit.begin_steps(bits)
        fit.phase(args.epochs[1], args.rates[1], bits, True)
        coarser, (psnr, similarity, found) = 0, fit.measure()
        while found > bits and coarser < 96:
            coarser += 1
            psnr, similarity, found = fit.measure(coarser)
        result |= {"psnr": psnr, "ms_ssim": similarity, "estimated_bytes": math.ceil(found / 8)}
    steps = sum(args.epochs) * len(fit.frames)
    print(json.dumps(result | {"steps": steps, "steps_a_second": steps / (time.perf_counter() - start)}))


def run_time(net, count):
    decoder = Decoder(net)
    t, target = torch.randn(160), torch.rand(1, 3, net["height"], net["width"])
    embedding = torch.rand(1, net["embedding"], *net["base"], requires_grad=True) if net["embedding"] else None
    parameters = [*decoder.parameters()] + ([] if embedding is None else [embedding])
    optimiser = Adan(parameters)
    print("parameters", sum(p.numel() for p in decoder.parameters()), "torch", torch.__version__)
    times = []
    for _ in range(count):
        clock, processor = time.perf_counter(), time.process_time()
        distortion(decoder(t, embedding), target).backward()
        optimiser.step(1e-4)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    times = times[len(times) // 5 :]
    clock, processor = (sorted(t[i] for t in times)[len(times) // 2] for i in (0, 1))
    print(f"a step: {clock * 1e3:.1f} ms of clock, {processor * 1e3:.1f} ms of processor; "
          f"best {min(t[0] for t in times) * 1e3:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="written by siskin encode with a preset that fits")
    parser.add_argument("--steps", type=int, default=30, help="steps to time")
    parser.add_argument("--fit", metavar="CLIP", help="fit the network to this clip instead")
    parser.add_argument("--epochs", type=int, nargs=2, default=[30, 10])
    parser.add_argument("--rates", type=float, nargs=2, default=[1e-2, 2e-3])
    parser.add_argument("--bytes", type=int, default=0, help="size aimed at in the coding phase")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    net = read_network(args.file)
    run_fit(net, args) if args.fit else run_time(net, args.steps)


if __name__ == "__main__":
    main()
