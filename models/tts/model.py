"""text2vec: phonemes to the codec's latents, feed-forward, in two networks.

`Acoustic` (FastSpeech, Ren et al. 2019, arXiv 1905.09263, in small): phonemes -> durations, log-mel levels, fundamental
frequency, voicing. It knows nothing of the codec.
`Vec`: those features, the phase of the fundamental and noise -> latents. It is trained through the codec's frozen
decoder, takes minutes, and is what is trained again for another codec (WavThruVec, Siuzdak et al. 2022, arXiv
2203.16930, has the same two halves around its features).
"""
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from features import MELS

NOISE, HARMONICS = 8, 8
FEATURES = MELS + 2
# The linear part sees a token, the two before and the two behind it, and where in the token a frame is.
WINDOW, BASIS = 5, 3


@dataclass
class Config:
    tokens: int
    speakers: int
    width: int = 128
    depth: int = 3
    heads: int = 2
    frames_width: int = 160
    frames_depth: int = 4
    vec_width: int = 192
    vec_depth: int = 4
    latent: int = 64


class Layer(nn.Module):
    """Feed-forward transformer layer, norm first. x [B, N, C], mask [B, N] of what is there."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.conv1, self.conv2 = nn.Conv1d(width, 2 * width, 3, padding=1), nn.Conv1d(2 * width, width, 1)

    def forward(self, x, mask, drop):
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        score = q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5 + (mask[:, None, None] - 1) * 1e4
        y = (score.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c)
        x = x + F.dropout(self.out(y), drop, self.training)
        y = (self.norm2(x) * mask[..., None]).transpose(1, 2)
        return x + F.dropout(self.conv2(F.silu(self.conv1(y))).transpose(1, 2), drop, self.training)


class Block(nn.Module):
    """ConvNeXt block that sees both sides. x [B, T, C]."""

    def __init__(self, width, mult, kernel=7):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, groups=width, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, width * mult), nn.Linear(width * mult, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x, mask, drop=0.0):
        y = self.norm(self.conv((x * mask).transpose(1, 2)).transpose(1, 2))
        return x + self.scale * F.dropout(self.down(F.silu(self.up(y))), drop, self.training)


def positions(count, width):
    """Sines and cosines, [count, width]."""
    rate = 10000 ** (-torch.arange(0, width, 2) / width)
    angle = torch.arange(count)[:, None] * rate[None]
    return torch.cat([angle.sin(), angle.cos()], -1)


def neighbours(tokens):
    """tokens [B, N] -> rows [B, N, WINDOW] of a table [WINDOW * count + ...], before `place` gives each its own range."""
    padded = F.pad(tokens, (WINDOW // 2, WINDOW // 2))
    return torch.stack([padded[:, i: i + tokens.shape[1]] for i in range(WINDOW)], -1)


def basis(into):
    """into [...] in 0..1 -> [..., BASIS]: constant, slope, curve."""
    u = into - 0.5
    return torch.stack([torch.ones_like(u), u, u * u], -1)


class Acoustic(nn.Module):
    """A linear model of each sound and its neighbours, found by least squares (`start.py`), and a feed-forward transformer
    that learns what the linear model misses."""

    def __init__(self, c: Config):
        super().__init__()
        # Two hours of speech are soon known by heart.
        self.c, self.drop = c, 0.2
        self.linear = nn.Embedding(WINDOW * c.tokens, BASIS * FEATURES)
        self.linear_speaker = nn.Embedding(c.speakers, FEATURES)
        self.linear_duration = nn.Embedding(WINDOW * c.tokens, 1)
        self.embed, self.speaker = nn.Embedding(c.tokens, c.width), nn.Embedding(c.speakers, c.width)
        self.register_buffer("places", positions(1024, c.width), persistent=False)
        self.layers = nn.ModuleList(Layer(c.width, c.heads) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.dur1, self.dur2 = nn.Conv1d(c.width, c.width, 3, padding=1), nn.Conv1d(c.width, c.width, 3, padding=1)
        self.dur_norm, self.dur = nn.LayerNorm(c.width), nn.Linear(c.width, 1)
        self.inp = nn.Linear(c.width + 3, c.frames_width)
        self.blocks = nn.ModuleList(Block(c.frames_width, 3) for _ in range(c.frames_depth))
        self.out_norm, self.out = nn.LayerNorm(c.frames_width), nn.Linear(c.frames_width, FEATURES)
        for zero in (self.dur, self.out):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def encode(self, tokens, speakers, mask):
        """tokens [B, N], speakers [B] -> hidden [B, N, C + BASIS * FEATURES], whose end is the linear model, and the
        logarithm of durations in frames plus one [B, N]."""
        x = self.embed(tokens) * 4 + self.places[: tokens.shape[1]] + self.speaker(speakers)[:, None]
        for layer in self.layers:
            x = layer(x, mask, self.drop)
        x = self.norm(x)
        y = (x.detach() if self.training else x) * mask[..., None]
        y = F.silu(self.dur2(F.silu(self.dur1(y.transpose(1, 2))))).transpose(1, 2)
        rows = neighbours(tokens) + torch.arange(WINDOW) * self.c.tokens
        linear = self.linear(rows).sum(2)
        linear = linear + F.pad(self.linear_speaker(speakers), (0, (BASIS - 1) * FEATURES))[:, None]
        duration = self.linear_duration(rows).sum(2)[..., 0] + self.dur(self.dur_norm(y))[..., 0]
        return torch.cat([x, linear], -1), duration

    def frames(self, expanded, mask):
        """expanded [B, T, C + BASIS * FEATURES + 3] (see `expand`) -> features [B, T, FEATURES]: scaled mel, log f0,
        logit of the voicing."""
        hidden, linear, place = expanded.split([self.c.width, BASIS * FEATURES, 3], -1)
        linear = (linear.unflatten(-1, (BASIS, FEATURES)) * basis(place[..., 0])[..., None]).sum(-2)
        x = self.inp(torch.cat([hidden, place], -1))
        for block in self.blocks:
            x = block(x, mask[..., None], self.drop)
        return linear + self.out(self.out_norm(x))


def expand(hidden, durations):
    """hidden [N, C], durations [N] -> [T, C + 3]: the row of each frame's token, how far the frame is into it, how far
    from its end, how long it is."""
    index = torch.repeat_interleave(torch.arange(len(durations)), durations)
    first = torch.repeat_interleave(durations.cumsum(0) - durations, durations)
    length = durations[index].float()
    into = (torch.arange(len(index)) - first).float() + 0.5
    extra = torch.stack([into / length, (length - into) / 10, length.log()], -1)
    return torch.cat([hidden[index], extra], -1)


def harmonics(phase, voiced):
    """cos and sin of the first multiples of the phase where there is voice, [..., 2 * HARMONICS]."""
    angle = phase[..., None] * torch.arange(1, HARMONICS + 1)
    return torch.cat([angle.cos(), angle.sin()], -1) * voiced[..., None]


class Vec(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.inp = nn.Linear(FEATURES + 2 * HARMONICS + NOISE, c.vec_width)
        self.blocks = nn.ModuleList(Block(c.vec_width, 2) for _ in range(c.vec_depth))
        self.norm, self.out = nn.LayerNorm(c.vec_width), nn.Linear(c.vec_width, c.latent)

    def forward(self, features, phase, noise):
        """features [B, T, FEATURES] with voicing 0 or 1, phase [B, T], noise [B, T, NOISE] -> latents [B, T, D]."""
        x = self.inp(torch.cat([features, harmonics(phase, features[..., -1]), noise], -1))
        mask = torch.ones_like(x[..., :1])
        for block in self.blocks:
            x = block(x, mask)
        z = self.out(self.norm(x))
        return F.layer_norm(z, z.shape[-1:])
