"""Causal speech codec: MDCT in, ConvNeXt trunks, MDCT out.

Shapes: pcm [B, samples], MDCT coefficients [B, blocks, N], trunk features [B, T, C], latents [B, T, D].
All modules take and return explicit states, so offline (zero states, whole clip) and streaming (one frame a call)
are the same code.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    sample_rate: int = 24000
    hop: int = 480            # samples a code frame (20 ms)
    block: int = 480          # MDCT block N: `hop` (one block a frame) or a divisor of it
    overlap: int = 240        # window overlap in samples (10 ms): the delay of the synthesis
    trunk: int = 1            # trunk steps a code frame
    latent: int = 64
    enc_width: int = 192
    enc_depth: int = 4
    dec_width: int = 256
    dec_depth: int = 4
    mult: int = 2
    kernel: int = 7
    bands: int = 32           # output gains a trunk step
    learn_basis: bool = False

    @property
    def coefs(self):
        """MDCT coefficients a trunk step."""
        return self.hop // self.trunk


def mdct_basis(n, overlap):
    """Orthonormal MDCT atoms with a sine slope of `overlap` samples, [n, n + overlap] (zeros of the window cut off).

    Princen, Johnson and Bradley 1987; the low-overlap window is that of CELT (RFC 6716, 4.3.7).
    """
    length = n + overlap
    t = torch.arange(length, dtype=torch.float64) + (n - overlap) / 2
    k = torch.arange(n, dtype=torch.float64)
    window = torch.ones(length, dtype=torch.float64)
    slope = torch.sin(math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / overlap)
    window[:overlap], window[n:] = slope, slope.flip(0)
    phase = math.pi / n * (t[None] + 0.5 + n / 2) * (k[:, None] + 0.5)
    return (math.sqrt(2 / n) * torch.cos(phase) * window).float()


def band_matrix(n, bands, rate):
    """Triangles on the Bark-like scale asinh(f / 600 Hz), [bands, n]; every column sums to one."""
    freq = (torch.arange(n) + 0.5) * rate / 2 / n
    pos = torch.asinh(freq / 600)
    pos = pos / torch.asinh(torch.tensor(rate / 2 / 600)) * (bands - 1)
    return (1 - (pos[None] - torch.arange(bands)[:, None]).abs()).clamp(min=0)


class Block(nn.Module):
    """Causal ConvNeXt block (Liu et al. 2022; in vocoders: Vocos, Siuzdak 2023). x [B, T, C], state [B, C, k - 1]."""

    def __init__(self, width, mult, kernel):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width * mult)
        self.down = nn.Linear(width * mult, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))
        self.state_shape = (width, kernel - 1)

    def forward(self, x, state):
        y = torch.cat([state, x.transpose(1, 2)], -1)
        state = y[..., -self.state_shape[1]:]
        y = self.norm(self.conv(y).transpose(1, 2))
        return x + self.scale * self.down(F.silu(self.up(y))), state


def unit(z):
    """Latents of fixed length sqrt(D): the quantizer has nothing to chase, they can neither grow nor shrink."""
    return z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + 1e-5)


class Encoder(nn.Module):
    """pcm [B, samples], states -> latents [B, T, D] of fixed norm sqrt(D), states."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.register_buffer("basis", mdct_basis(c.block, c.overlap), persistent=False)
        pool = band_matrix(c.coefs, c.bands, c.sample_rate)
        self.register_buffer("pool", pool / pool.sum(1, keepdim=True), persistent=False)
        self.inp = nn.Linear(c.coefs + c.bands, c.enc_width)
        self.blocks = nn.ModuleList(Block(c.enc_width, c.mult, c.kernel) for _ in range(c.enc_depth))
        self.out = nn.Linear(c.enc_width * c.trunk, c.latent)
        self.state_shapes = [(1, c.overlap)] + [b.state_shape for b in self.blocks]

    def analyse(self, pcm, tail):
        """MDCT by blocks; `tail` holds the last `overlap` samples, [B, 1, overlap]."""
        c = self.c
        x = torch.cat([tail[:, 0], pcm], -1)
        tail = x[:, None, -c.overlap:]
        frames = x.unfold(-1, c.block + c.overlap, c.block)
        return frames @ self.basis.t(), tail

    def features(self, coefs):
        """Square-root companding keeps 60 dB within 30; band levels tell the phase-free magnitude. [B, T, coefs + bands]"""
        c = self.c
        steps = interleave(coefs, c.coefs // c.block)
        power = F.linear(steps * steps, self.pool)
        root = steps * (steps.abs() + 1e-4).rsqrt()
        return torch.cat([3 * root, 0.25 * torch.log(power + 1e-8) + 1.5], -1)

    def forward(self, pcm, states):
        coefs, tail = self.analyse(pcm, states[0])
        x = self.inp(self.features(coefs))
        after = [tail]
        for block, state in zip(self.blocks, states[1:]):
            x, state = block(x, state)
            after.append(state)
        b, t, w = x.shape
        z = self.out(x.reshape(b, t // self.c.trunk, w * self.c.trunk))
        return unit(z), after

    @torch.no_grad()
    def rotate(self, rotation):
        """Turns the latents by an orthogonal matrix [D, D]."""
        self.out.weight.copy_(rotation @ self.out.weight)
        self.out.bias.copy_(rotation @ self.out.bias)


def interleave(coefs, per_step):
    """[B, blocks, N] -> [B, blocks / per_step, N * per_step], neighbours in frequency side by side."""
    if per_step == 1:
        return coefs
    b, t, n = coefs.shape
    return coefs.reshape(b, t // per_step, per_step, n).transpose(2, 3).reshape(b, t // per_step, per_step * n)


def deinterleave(steps, per_step):
    if per_step == 1:
        return steps
    b, t, n = steps.shape
    return steps.reshape(b, t, n // per_step, per_step).transpose(2, 3).reshape(b, t * per_step, n // per_step)


class Decoder(nn.Module):
    """latents [B, T, D], states -> pcm [B, T * hop], late by `overlap` samples, states."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        basis = mdct_basis(c.block, c.overlap)
        if c.learn_basis:
            self.basis = nn.Parameter(basis)
        else:
            self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("spread", band_matrix(c.coefs, c.bands, c.sample_rate).t().contiguous(), persistent=False)
        self.inp = nn.Linear(c.latent, c.dec_width * c.trunk)
        self.blocks = nn.ModuleList(Block(c.dec_width, c.mult, c.kernel) for _ in range(c.dec_depth))
        self.norm = nn.LayerNorm(c.dec_width)
        self.shape = nn.Linear(c.dec_width, c.coefs, bias=False)
        self.gain = nn.Linear(c.dec_width, c.bands)
        nn.init.constant_(self.gain.bias, -4.0)
        self.state_shapes = [(1, c.overlap)] + [b.state_shape for b in self.blocks]

    @torch.no_grad()
    def rotate(self, rotation):
        """Takes latents that were turned by an orthogonal matrix [D, D]."""
        self.inp.weight.copy_(self.inp.weight @ rotation.T)

    def coefficients(self, latents, states):
        """Shape times gain per band: a speech frame's level spans 60 dB, which no linear head follows well."""
        b, t, _ = latents.shape
        x = self.inp(latents).reshape(b, t * self.c.trunk, self.c.dec_width)
        after = []
        for block, state in zip(self.blocks, states):
            x, state = block(x, state)
            after.append(state)
        x = self.norm(x)
        gain = torch.exp(self.gain(x).clamp(max=3.0))
        steps = self.shape(x) * F.linear(gain, self.spread)
        return deinterleave(steps, self.c.coefs // self.c.block), after

    def synthesise(self, coefs, tail):
        """Overlap-add of the atoms; `tail` is the open slope of the block before, [B, 1, overlap]."""
        c = self.c
        seg = coefs @ self.basis
        open_end = seg[..., c.block:]
        before = torch.cat([tail, open_end[:, :-1]], 1)
        body = torch.cat([seg[..., :c.overlap] + before, seg[..., c.overlap:c.block]], -1)
        return body.flatten(1), open_end[:, -1:]

    def forward(self, latents, states):
        coefs, after = self.coefficients(latents, states[1:])
        pcm, tail = self.synthesise(coefs, states[0])
        return pcm, [tail] + after


def zero_states(module, batch, device=None):
    return [torch.zeros(batch, *shape, device=device) for shape in module.state_shapes]
