"""HiFi-Codec (arXiv 2305.02765), which no package has: written from its description and its authors' configuration.

The encoder's normalizations see the last 50 frames, as imported bundles define it, and not the whole file.
"""

import json

import torch
from torch import nn
from torch.nn.functional import leaky_relu

from . import Published, as_batch, nearest, noise, spread_codebooks

# Upsampling's strides and taps, samples a second.
SIZES = {
    "16k-320d": ([8, 5, 4, 2], [16, 11, 8, 4], 16_000),
    "24k-320d": ([8, 5, 4, 2], [16, 11, 8, 4], 24_000),
    "24k-240d": ([8, 5, 3, 2], [16, 11, 7, 4], 24_000),
}
KERNELS = [3, 7, 11]
FRAMES, WINDOW = 140, 50


def conv(inputs, outputs, taps, stride=1, dilation=1):
    padding = (taps * dilation - dilation) // 2 if stride == 1 else (taps - stride) // 2
    return nn.utils.weight_norm(nn.Conv1d(inputs, outputs, taps, stride, dilation=dilation, padding=padding))


class Residual(nn.Module):
    def __init__(self, channels, taps):
        super().__init__()
        self.convs1 = nn.ModuleList(conv(channels, channels, taps, dilation=d) for d in (1, 3, 5))
        self.convs2 = nn.ModuleList(conv(channels, channels, taps) for _ in range(3))

    def forward(self, x):
        for first, second in zip(self.convs1, self.convs2):
            x = x + second(leaky_relu(first(leaky_relu(x, 0.1)), 0.1))
        return x


class SlidingNorm(nn.GroupNorm):
    """Normalization by what the last frames have in common."""

    def over_frames(self, x, frames):
        samples = x.shape[-1] // frames
        grouped = x.double().reshape(self.num_groups, -1, frames, samples)
        out = torch.empty_like(grouped)
        for f in range(frames):
            seen = grouped[:, :, max(0, f + 1 - WINDOW) : f + 1]
            variance, mean = torch.var_mean(seen, (1, 2, 3), correction=0, keepdim=True)
            out[:, :, f : f + 1] = (grouped[:, :, f : f + 1] - mean) / (variance + self.eps).sqrt()
        return out.reshape(x.shape).float() * self.weight[:, None] + self.bias[:, None]


class Encoder(nn.Module):
    def __init__(self, strides, taps):
        super().__init__()
        self.conv_pre = conv(1, 32, 7)
        self.ups, self.resblocks, self.normalize = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = 32
        for stride, width in zip(strides[::-1], taps[::-1]):
            self.ups.append(conv(channels, 2 * channels, width, stride))
            channels *= 2
            for kernel in KERNELS[::-1]:
                self.resblocks.append(Residual(channels, kernel))
                self.normalize.append(SlidingNorm(channels // 16, channels, eps=1e-6))
        self.conv_post = nn.Conv1d(512, 512, 3, padding=1)

    def forward(self, pcm, frames):
        x = self.conv_pre(pcm)
        for i, up in enumerate(self.ups):
            x = up(leaky_relu(x, 0.1))
            total = 0
            for j in range(3 * i, 3 * i + 3):
                total = self.normalize[j].over_frames(total + self.resblocks[j](x), frames)
            x = total / 3
        return self.conv_post(leaky_relu(x))


class Generator(nn.Module):
    def __init__(self, strides, taps):
        super().__init__()
        self.conv_pre = conv(512, 512, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        channels = 512
        for stride, width in zip(strides, taps):
            layer = nn.ConvTranspose1d(channels, channels // 2, width, stride, padding=(width - stride) // 2)
            self.ups.append(nn.utils.weight_norm(layer))
            channels //= 2
            self.resblocks.extend(Residual(channels, kernel) for kernel in KERNELS)
        self.conv_post = conv(channels, 1, 7)

    def forward(self, x):
        x = self.conv_pre(x)
        for i, up in enumerate(self.ups):
            x = up(leaky_relu(x, 0.1))
            x = sum(block(x) for block in self.resblocks[3 * i : 3 * i + 3]) / 3
        return torch.tanh(self.conv_post(leaky_relu(x, 0.1)))


class Book(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(1024, 256)


class Quantizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.quantizer_modules = nn.ModuleList(Book() for _ in range(2))
        self.quantizer_modules2 = nn.ModuleList(Book() for _ in range(2))


def of_size(size):
    strides, taps, rate = SIZES[size]

    def make(folder):
        encoder, generator, quantizer = Encoder(strides, taps).eval(), Generator(strides, taps).eval(), Quantizer()
        for module in (encoder, generator):
            for name, parameter in module.named_parameters():
                if name.endswith("bias"):
                    parameter.copy_(torch.randn_like(parameter) * 0.05)
                if "normalize" in name and name.endswith("weight"):
                    parameter.copy_(torch.rand_like(parameter) + 0.5)
        hop = strides[0] * strides[1] * strides[2] * strides[3]
        pcm = noise(rate, FRAMES * hop)
        latents = encoder(as_batch(pcm), FRAMES)[0].T
        groups = [[q[g].embedding.weight for q in (quantizer.quantizer_modules, quantizer.quantizer_modules2)] for g in range(2)]
        codes, decoded = [[None] * 2, [None] * 2], []
        for g, books in enumerate(groups):
            residual = latents[:, 256 * g : 256 * (g + 1)]
            spread_codebooks(books, residual)
            total = 0
            for stage, book in enumerate(books):
                index = nearest(residual, book)
                codes[stage][g] = index
                residual, total = residual - book[index], total + book[index]
            decoded.append(total)
        path = folder / "g_00400000"
        torch.save({part: module.state_dict() for part, module in
                    (("generator", generator), ("encoder", encoder), ("quantizer", quantizer))}, path)  # fmt: skip
        (folder / "config.json").write_text(json.dumps({"sampling_rate": rate, "upsample_rates": strides}))
        samples = generator(torch.cat(decoded, 1).T[None])
        # Stage by stage, group by group.
        in_order = torch.stack([code for stage in codes for code in stage])
        return Published("hificodec", path, pcm, in_order.numpy(), samples[0, 0].numpy(), stages=2)

    return make


LAYOUTS = {size: of_size(size) for size in SIZES}
