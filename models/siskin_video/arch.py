"""The networks of the real-time mode: a decoder that is conditioned on latents, the frame before and a code of
quality and place in the chain, the encoder that makes its latents, and a model of their bits for training."""
import torch
import torch.nn.functional as F
from torch import nn

from .layout import CHANNELS, pack, transform, unpack

WIDTH, FINE, CODE = 64, 32, 32
QUALITIES, FINEST, PARTS = 48, 3.0, 8
CONDITIONS = 4
LATEST = 3


def step(quality):
    """The size of a quantisation step in 8-bit units; quality is 0 (finest) to 47."""
    return FINEST * 2.0 ** (quality / PARTS)


def condition(quality, index):
    """[B, 4]: quality twice, whether the frame stands alone, how long the chain is (`index` frames since the last)."""
    q = quality / 24 - 1
    index = torch.as_tensor(float(min(index, LATEST))).expand_as(q)
    return torch.stack([q, q * q, (index == 0).float(), index / LATEST], 1)


class Affine(nn.Module):
    """Scale and shift of channels from the code (the temporal-aware affine transform of Boosting-NeRV)."""

    def __init__(self, channels):
        super().__init__()
        self.out = nn.Linear(CODE, 2 * channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x, code):
        scale, shift = self.out(code)[:, :, None, None].chunk(2, 1)
        return x * (1 + scale) + shift


class Code(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(CONDITIONS, CODE), nn.Linear(CODE, CODE)

    def forward(self, condition):
        return F.gelu(self.b(F.gelu(self.a(condition))))


def conv(inputs, outputs, kernel):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def zero(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Encoder(nn.Module):
    """Picture and prediction [B,96,h,w] -> latents [B,96,h,w] in steps, not yet rounded."""

    def __init__(self):
        super().__init__()
        self.code, self.affine = Code(), Affine(WIDTH)
        self.linear = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        self.linear.weight.data = transform()[:, :, None, None]
        self.first, self.second = conv(2 * CHANNELS, WIDTH, 1), conv(WIDTH, WIDTH, 3)
        self.last = zero(conv(WIDTH, CHANNELS, 1))

    def forward(self, picture, prediction, condition, fineness):
        """fineness [B]: 255 / step."""
        difference = (picture - prediction) * fineness[:, None, None, None]
        code = self.code(condition)
        x = self.affine(self.first(torch.cat([difference * 0.25, prediction], 1)), code)
        return self.linear(difference) + self.last(F.gelu(self.second(F.gelu(x))))


class Decoder(nn.Module):
    """Latents and prediction -> picture [B,24,2h,2w]."""

    def __init__(self):
        super().__init__()
        self.code = Code()
        self.affine_context, self.affine_inner, self.affine_fine = Affine(WIDTH), Affine(WIDTH), Affine(FINE)
        self.linear = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        self.linear.weight.data = torch.linalg.inv(transform())[:, :, None, None]
        self.context, self.latents, self.gate = conv(CHANNELS, WIDTH, 3), conv(CHANNELS, WIDTH, 1), conv(CHANNELS, WIDTH, 1)
        self.inner, self.outer = conv(WIDTH, WIDTH, 3), conv(WIDTH, WIDTH, 3)
        self.up = conv(WIDTH, 4 * 16, 1)
        self.fine, self.head = conv(16 + CHANNELS // 4, FINE, 3), zero(conv(FINE, CHANNELS // 4, 3))

    def forward(self, latents, prediction, condition, size, mask):
        """size [B]: step / 255; mask [B,1,2h,2w]: where the network may change what the transform gives."""
        base = prediction + self.linear(latents * size[:, None, None, None])
        near = latents.clamp(-3, 3)
        code = self.code(condition)
        x = F.gelu(self.affine_context(self.context(base), code))
        x = x * torch.sigmoid(self.gate(near)) + self.latents(near)
        x = x + self.outer(F.gelu(self.affine_inner(self.inner(x), code)))
        both = unpack(torch.cat([self.up(x), base], 1))
        x = F.gelu(self.affine_fine(self.fine(both), code))
        return both[:, 16:] + self.head(x) * mask


def changed(latents):
    """Where the network may act: blocks with latents, and their neighbours. [B,1,2h,2w]"""
    any_one = (latents != 0).any(1, keepdim=True).float()
    return F.max_pool2d(any_one, 3, 1, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)


# Latents that are coded as differences to what their neighbours predict where a frame stands alone: the means.
MEANS = (0, 64, 65)


def shifted(x, dx, dy):
    """The neighbour at (-dx, -dy), zero outside."""
    return F.pad(x, (max(dx, 0), max(-dx, 0), max(dy, 0), 0))[..., : x.shape[2], max(-dx, 0): max(-dx, 0) + x.shape[3]]


def gradient_prediction(x):
    """Of left, above and their plane, the middle one (the predictor of LOCO-I)."""
    a, b, c = shifted(x, 1, 0), shifted(x, 0, 1), shifted(x, 1, 1)
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), a + b - c))


class Bits(nn.Module):
    """Bits that latents will cost about: a Laplace distribution each, whose width follows from what is coded before.
    Only for training; the coder has adaptive tables."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(CONDITIONS, CHANNELS)
        self.near = nn.Parameter(torch.full((5, CHANNELS), 0.3))
        self.mix = nn.Sequential(nn.Conv2d(3 * CHANNELS, 24, 1), nn.GELU(), zero(nn.Conv2d(24, CHANNELS, 1)))
        self.same = nn.Parameter(torch.zeros(CHANNELS, CHANNELS))
        group = torch.cat([torch.arange(64) // 8, 8 + torch.arange(32) // 8])
        self.register_buffer("before", (group[:, None] > group[None]).float())

    def forward(self, latents, previous, condition):
        """[B] bits; `previous` are the latents of the frame before, or none."""
        size = torch.log1p(latents.detach().abs())
        old = torch.zeros_like(size) if previous is None else torch.log1p(previous.detach().abs())
        near = [shifted(size, 1, 0), shifted(size, 0, 1), shifted(size, -1, 1), shifted(size, 1, 1), old]
        width = self.base(condition)[:, :, None, None] + sum(w[:, None, None] * n for w, n in zip(self.near, near))
        width = width + self.mix(torch.cat([near[0], near[1], near[4]], 1))
        width = width + F.conv2d(size, (self.same * self.before)[:, :, None, None])
        if previous is None:
            means = latents[:, list(MEANS)]
            rest = [means[:, i: i + 1] - gradient_prediction(means[:, i: i + 1]) for i in range(3)]
            latents = torch.cat([rest[0], latents[:, 1:64], rest[1], rest[2], latents[:, 66:]], 1)
        width = torch.exp(width.clamp(-6, 6))
        far = latents.abs()
        zero_bits = -torch.log2(-torch.expm1(-0.5 / width) + 1e-9)
        tail = (far - 0.5) / width * 1.4427 + 1 - torch.log2(-torch.expm1(-1 / width) + 1e-9)
        bits = torch.where(far < 0.5, zero_bits, tail)
        return bits.sum((1, 2, 3))


class Codec(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.bits = Encoder(), Decoder(), Bits()

    def frame(self, picture, prediction, quality, index, previous, dead):
        """One frame: picture and prediction at a quarter. Gives the reconstruction at a quarter, latents, bits [B]."""
        code, size = condition(quality, index), step(quality) / 255
        x, p = pack(picture), pack(prediction)
        wanted = self.encoder(x, p, code, 1 / size)
        rounded = torch.sign(wanted) * torch.floor(wanted.abs() + 0.5 - dead)
        latents = wanted + (rounded - wanted).detach()
        mask = torch.ones_like(picture[:, :1]) if index == 0 else changed(rounded)
        out = self.decoder(latents, p, code, size, mask)
        return out, latents, self.bits(latents, previous, code)
