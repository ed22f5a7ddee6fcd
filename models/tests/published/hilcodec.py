"""HILCodec (arXiv 2405.04752), which no package has: written from its description and its authors' configuration."""

import math

import torch
from torch import nn
from torch.nn.functional import elu, pad

from . import Published, as_batch, nearest, noise, spread_codebooks

STRIDES, HOP, FRAMES = [2, 4, 5, 8], 320, 40
BRANCH = 0.5773502691896258
DEVIATION = 0.1122080159
LOG_MEANS = [-4.554, -4.315, -4.021, -3.726, -3.477]
LOG_DEVIATIONS = [2.830, 2.837, 2.817, 2.796, 2.871]


def balanced(x, units):
    return x * (1 + units * BRANCH**2) ** -0.5


class Layer(nn.Module):
    """A causal layer, under the names that two wrappers give it."""

    def __init__(self, inputs, outputs, taps=1, stride=1, groups=1, bias=True):
        super().__init__()
        self.conv = nn.Module()
        self.conv.conv = nn.utils.weight_norm(nn.Conv1d(inputs, outputs, taps, stride, groups=groups, bias=bias))
        self.left = taps - stride

    def forward(self, x):
        return self.conv.conv(pad(x, (self.left, 0)))


class Transposed(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.convtr = nn.Module()
        layer = nn.ConvTranspose1d(channels, channels, 2 * stride, stride, groups=channels, bias=False)
        self.convtr.convtr = nn.utils.weight_norm(layer)
        self.stride = stride

    def forward(self, x):
        return self.convtr.convtr(x)[..., : -self.stride]


class Unit(nn.Module):
    def __init__(self, channels, before):
        super().__init__()
        self.before = before
        self.res_scale_param = nn.Parameter(torch.rand(1) + 0.5)
        mix = lambda: Layer(channels, channels, bias=False)
        depthwise = lambda: Layer(channels, channels, 5, groups=channels)
        self.block = nn.Sequential(nn.ELU(), mix(), depthwise(), nn.ELU(), mix(), depthwise())

    def forward(self, x):
        return x + BRANCH * self.res_scale_param * self.block(balanced(x, self.before))


class Spectrum(nn.Module):
    def __init__(self, size):
        super().__init__()
        n, k = torch.arange(size), torch.arange(size // 2 + 1)[:, None]
        angle = -2 * math.pi / size * k * n
        window = torch.hann_window(size)
        self.register_buffer("weight", (torch.cat([angle.cos(), angle.sin()]) * window)[:, None])


class SpecBlock(nn.Module):
    def __init__(self, index, hop):
        super().__init__()
        self.index, self.hop = index, hop
        size = 64 << index
        self.spec = Spectrum(size)
        self.scale_param = nn.Parameter(torch.rand(1) + 0.5)
        self.layer = Layer(size // 2 + 1, 64 << index, bias=False)

    def forward(self, x, pcm):
        weight = self.spec.weight
        parts = nn.functional.conv1d(pad(pcm, (weight.shape[-1] - 1, 0)), weight, stride=self.hop)
        real, imaginary = parts.chunk(2, 1)
        magnitude = (real**2 + imaginary**2).clamp_min(1e-12).sqrt()
        log = magnitude.clamp_min(1e-5).log()
        normed = (log - LOG_MEANS[self.index]) / LOG_DEVIATIONS[self.index]
        return x + BRANCH * self.scale_param * self.layer(normed)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_pre = nn.Sequential(nn.Identity(), Layer(1, 64, 5))
        self.blocks, self.spec_blocks, self.downsample = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels, hop = 64, 1
        for index, stride in enumerate(STRIDES):
            self.blocks.append(nn.Sequential(Unit(channels, 1), Unit(channels, 2)))
            self.spec_blocks.append(SpecBlock(index, hop))
            wide = 2 * channels
            down = Layer(wide, wide, 2 * stride, stride, groups=wide)
            self.downsample.append(nn.Sequential(nn.Identity(), nn.ELU(), Layer(channels, wide, bias=False), down))
            channels, hop = wide, hop * stride
        self.spec_post = SpecBlock(4, hop)
        depthwise = Layer(channels, channels, 5, groups=channels, bias=False)
        self.conv_post = nn.Sequential(nn.ELU(), depthwise, Layer(channels, 128))

    def before_length(self, pcm):
        x = self.conv_pre(pcm / DEVIATION)
        for block, spec_block, downsample in zip(self.blocks, self.spec_blocks, self.downsample):
            x = downsample(balanced(block(spec_block(x, pcm)), 2))
        return self.conv_post(self.spec_post(x, pcm))

    def forward(self, pcm):
        return nn.functional.normalize(self.before_length(pcm), dim=1) * 128**0.5


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        channels = 96 << 4
        layers = [Layer(128, channels, bias=False), Layer(channels, channels, 5, groups=channels)]
        for stride in STRIDES[::-1]:
            half = channels // 2
            layers += [nn.Identity(), nn.Identity(), Transposed(channels, stride), Layer(channels, half)]
            layers += [Unit(half, before) for before in range(3)]
            channels = half
        layers += [nn.Identity(), nn.Identity(), Layer(channels, 1, 5)]
        self.model = nn.Sequential(*layers)

    def forward(self, latents):
        x = self.model[1](self.model[0](latents))
        for start in range(2, 30, 7):
            if start > 2:
                x = balanced(x, 3)
            x = self.model[start + 3](self.model[start + 2](elu(x)))
            x = self.model[start + 6](self.model[start + 5](self.model[start + 4](x)))
        return torch.tanh(DEVIATION * self.model[32](elu(balanced(x, 3))))


class Codebook(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("embed", torch.zeros(1024, 128))
        self.register_buffer("ema_embed", torch.zeros(1024, 128))
        self.register_buffer("ema_num", torch.ones(1024))


class Model(nn.Module):
    def __init__(self, stages):
        super().__init__()
        self.encoder, self.decoder, self.quantizer = Encoder(), Decoder(), nn.Module()
        self.quantizer.layers = nn.ModuleList(Codebook() for _ in range(stages))


def of_stages(stages):
    def make(folder):
        model = Model(stages).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(torch.randn_like(parameter) * 0.1)
        pcm = noise(24_000, FRAMES * HOP)
        # Random weights give latents of nearly one direction: away from their mean they differ.
        model.encoder.conv_post[2].conv.conv.bias -= model.encoder.before_length(as_batch(pcm)).mean((0, 2))
        latents = model.encoder(as_batch(pcm))[0].T
        books = [layer.embed for layer in model.quantizer.layers]
        spread_codebooks(books, latents)
        # As training saves it, with what belongs to training beside the model.
        path = folder / "00150.pth"
        state = model.state_dict() | {f"quantizer.layers.{i}._extra_state": {"initted": True} for i in range(stages)}
        adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
        disc = {"convs.0.weight": torch.zeros(2, 3)}
        torch.save({"model": state, "disc": disc, "optim_g": adam, "scaler_g": {}, "epoch": 150}, path)
        residual, decoded, codes = latents, 0, []
        for book in books:
            index = nearest(residual, book)
            codes.append(index)
            residual, decoded = residual - book[index], decoded + book[index]
        samples = model.decoder(decoded.T[None])
        return Published("hilcodec", path, pcm, torch.stack(codes).numpy(), samples[0, 0].numpy())

    return make


LAYOUTS = {"speech": of_stages(8), "music": of_stages(12)}
