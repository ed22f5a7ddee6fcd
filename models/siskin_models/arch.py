"""Causal speech codec: MDCT in, ConvNeXt trunks, MDCT and shaped noise out.

Shapes: pcm [B, samples], MDCT coefficients [B, blocks, N], trunk features [B, T, C], latents [B, T, D].
All modules take and return explicit states, so offline (zero states, whole clip) and streaming (one frame a call)
are the same code.
"""
import math
from dataclasses import dataclass
from functools import wraps

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from .harmonics import Harmonics
from .transforms import Analysis, Atoms, Depthwise

EVEN_FLOOR = 1e-7  # power below which `Encoder.even` does not lift coefficients: -70 dB of full scale


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
    noise: int = 0            # points of the noise's envelope a trunk step; 0: the decoder adds no noise
    harmonics: int = 0        # waveshapers of the source of overtones; 0: the decoder adds none
    skip: int = 0             # 1: latents hold coefficients that go past the trunks, too
    channels = 1

    @property
    def coefs(self):
        """MDCT coefficients a trunk step."""
        return self.hop // self.trunk


def mdct_window(n, overlap):
    """The low-overlap window of CELT (RFC 6716, 4.3.7) with a sine slope of `overlap` samples, [n + overlap] (zeros cut off)."""
    window = torch.ones(n + overlap, dtype=torch.float64)
    slope = torch.sin(math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / overlap)
    window[:overlap], window[n:] = slope, slope.flip(0)
    return window


def mdct_basis(n, overlap):
    """Orthonormal MDCT atoms under `mdct_window`, [n, n + overlap] (Princen, Johnson and Bradley 1987)."""
    t = torch.arange(n + overlap, dtype=torch.float64) + (n - overlap) / 2
    k = torch.arange(n, dtype=torch.float64)
    window = mdct_window(n, overlap)
    phase = math.pi / n * (t[None] + 0.5 + n / 2) * (k[:, None] + 0.5)
    return (math.sqrt(2 / n) * torch.cos(phase) * window).float()


def band_matrix(n, bands, rate):
    """Triangles on the Bark-like scale asinh(f / 600 Hz), [bands, n]; every column sums to one."""
    freq = (torch.arange(n) + 0.5) * rate / 2 / n
    pos = torch.asinh(freq / 600)
    pos = pos / torch.asinh(torch.tensor(rate / 2 / 600)) * (bands - 1)
    return (1 - (pos[None] - torch.arange(bands)[:, None]).abs()).clamp(min=0)


def band_centres(c: Config):
    """Middles of the decoder's bands in Hz, [bands]."""
    return 600 * torch.sinh(torch.arange(c.bands) / (c.bands - 1) * math.asinh(c.sample_rate / 2 / 600))


def exact(function):
    """Runs a function of tensors in 32 bits where the networks around it run in fewer: a transform is no layer."""
    @wraps(function)
    def run(*args):
        kind = next(a.device.type for a in args if torch.is_tensor(a))
        with torch.autocast(kind, enabled=False):
            return function(*(a.float() if torch.is_tensor(a) else a for a in args))
    return run


def mdct(pcm, tail, basis, block, window=None):
    """MDCT of pcm [B, samples] by blocks; `tail` holds the samples before, [B, 1, overlap]. -> [B, blocks, N], next tail

    By FFT where the window is given, otherwise by the matrix that the graphs hold."""
    overlap = tail.shape[-1]
    x = torch.cat([tail[:, 0], pcm], -1)
    frames = x.unfold(-1, block + overlap, block)
    coefs = frames @ basis.t() if window is None else Analysis.apply(frames, window, block)
    return coefs, x[:, None, -overlap:]


def scatter(latent, samples):
    """Matrix [samples, D] of phases: neighbouring latents are many turns apart. In 16 bits, as graphs hold it."""
    # The legacy generator's stream is fixed for ever.
    return torch.from_numpy(6 * np.random.RandomState(1).standard_normal((samples, latent))).half().float()


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
        if self.training:
            y = torch.cat([state.transpose(1, 2), x], 1)
            state = y[:, -self.state_shape[1]:].transpose(1, 2)
            y = self.norm(Depthwise.apply(y, self.conv.weight[:, 0].t(), self.conv.bias))
        else:
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
        self.register_buffer("window", mdct_window(c.block, c.overlap).float(), persistent=False)
        pool = band_matrix(c.coefs, c.bands, c.sample_rate)
        self.register_buffer("pool", pool / pool.sum(1, keepdim=True), persistent=False)
        self.inp = nn.Linear(c.coefs + c.bands, c.enc_width)
        self.blocks = nn.ModuleList(Block(c.enc_width, c.mult, c.kernel) for _ in range(c.enc_depth))
        self.out = nn.Linear(c.enc_width * c.trunk, c.latent)
        self.state_shapes = [(1, c.overlap)] + [b.state_shape for b in self.blocks]
        if c.skip:
            if c.trunk != 1:
                raise ValueError(f"trunk {c.trunk} with skip, allowed: 1")
            self.register_buffer("spread", band_matrix(c.coefs, c.bands, c.sample_rate).t().contiguous(), persistent=False)
            self.skip = nn.Linear(c.coefs, c.latent, bias=False)
            nn.init.zeros_(self.skip.weight)

    def even(self, coefs):
        """Coefficients divided by the level of their bands: what the trunk, which has 192 channels for everything, does not
        hold of the waveform above 1.5 kHz."""
        power = F.linear(coefs * coefs, self.pool)
        return coefs * (F.linear(power, self.spread) + EVEN_FLOOR).rsqrt()

    def features(self, coefs):
        """Square-root companding keeps 60 dB within 30; band levels tell the phase-free magnitude. [B, T, coefs + bands]"""
        c = self.c
        steps = interleave(coefs, c.coefs // c.block)
        power = F.linear(steps * steps, self.pool)
        root = steps * (steps.abs() + 1e-4).rsqrt()
        return torch.cat([3 * root, 0.25 * torch.log(power + 1e-8) + 1.5], -1)

    def forward(self, pcm, states):
        coefs, tail = exact(mdct)(pcm, states[0], self.basis, self.c.block, self.window if self.training else None)
        x = self.inp(self.features(coefs))
        after = [tail]
        for block, state in zip(self.blocks, states[1:]):
            x, state = block(x, state)
            after.append(state)
        b, t, w = x.shape
        z = unit(self.out(x.reshape(b, t // self.c.trunk, w * self.c.trunk)))
        if self.c.skip:
            z = unit(z + self.skip(self.even(interleave(coefs, self.c.coefs // self.c.block))))
        return z, after

    @torch.no_grad()
    def rotate(self, rotation):
        """Turns the latents by an orthogonal matrix [D, D]."""
        self.out.weight.copy_(rotation @ self.out.weight)
        self.out.bias.copy_(rotation @ self.out.bias)
        if self.c.skip:
            self.skip.weight.copy_(rotation @ self.skip.weight)


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
    """latents [B, T, D], states -> pcm [B, T * hop], late by `overlap` samples, states.

    What the latents say nothing about above the first few kHz is noise to the ear, so there the decoder may add noise
    with a level for each band and an envelope in time, as harmonic-plus-noise models do (Serra and Smith 1990). The
    noise is a function of the latents: it needs no bits, no generator, and is the same after a seek.
    """

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        basis = mdct_basis(c.block, c.overlap)
        if c.learn_basis:
            self.basis = nn.Parameter(basis)
        else:
            self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("window", mdct_window(c.block, c.overlap).float(), persistent=False)
        self.register_buffer("spread", band_matrix(c.coefs, c.bands, c.sample_rate).t().contiguous(), persistent=False)
        self.inp = nn.Linear(c.latent, c.dec_width * c.trunk)
        self.blocks = nn.ModuleList(Block(c.dec_width, c.mult, c.kernel) for _ in range(c.dec_depth))
        self.norm = nn.LayerNorm(c.dec_width)
        self.shape = nn.Linear(c.dec_width, c.coefs, bias=False)
        self.gain = nn.Linear(c.dec_width, c.bands)
        nn.init.constant_(self.gain.bias, -4.0)
        if c.skip:
            self.skip = nn.Linear(c.latent, c.coefs, bias=False)
            nn.init.zeros_(self.skip.weight)
        self.state_shapes = [(1, c.overlap)] + [b.state_shape for b in self.blocks]
        if c.noise:
            self.level = nn.Linear(c.dec_width, c.bands)
            self.envelope = nn.Linear(c.dec_width, c.noise)
            nn.init.normal_(self.level.weight, std=0.01)
            nn.init.constant_(self.level.bias, -7.0)
            nn.init.zeros_(self.envelope.weight)
            nn.init.zeros_(self.envelope.bias)
            self.register_buffer("scatter", scatter(c.latent, c.hop), persistent=False)
            # Straight lines between the points of the envelope.
            at = (torch.arange(c.coefs) + 0.5) / c.coefs * c.noise - 0.5
            lines = (1 - (at.clamp(0, c.noise - 1)[:, None] - torch.arange(c.noise)).abs()).clamp(min=0)
            self.register_buffer("lines", lines, persistent=False)
            self.state_shapes.append((1, c.overlap))
        if c.harmonics:
            # On the scale of the other bands; bins of 48 Hz are finer than the filters tell apart.
            triangles = band_matrix(256, c.bands, c.sample_rate)
            self.harmonics = Harmonics(c.dec_width, c.harmonics, c.sample_rate, c.hop, c.overlap, triangles)
            # The waveform has to be known without the noise, so the noise has an open slope of its own.
            self.state_shapes += [(1, c.overlap)] * bool(c.noise) + self.harmonics.state_shapes

    @torch.no_grad()
    def rotate(self, rotation):
        """Takes latents that were turned by an orthogonal matrix [D, D]."""
        self.inp.weight.copy_(self.inp.weight @ rotation.T)
        if self.c.skip:
            self.skip.weight.copy_(self.skip.weight @ rotation.T)

    @torch.no_grad()
    def raise_noise(self, decibels, above=0.0):
        """Makes the noise louder in the bands whose middles lie at `above` Hz or higher."""
        self.level.bias += (band_centres(self.c) >= above) * (decibels * math.log(10) / 20)

    @property
    def by_fft(self):
        """The window for transforms by FFT, which only training uses: there the graphs' matrix may not have been rounded."""
        return self.window if self.training and not self.c.learn_basis else None

    def trunk(self, latents, states):
        """Features [B, T * trunk, C] and the states of the blocks."""
        b, t, _ = latents.shape
        x = self.inp(latents).reshape(b, t * self.c.trunk, self.c.dec_width)
        after = []
        for block, state in zip(self.blocks, states):
            x, state = block(x, state)
            after.append(state)
        return self.norm(x), after

    def shapes(self, x, latents):
        return self.shape(x) + self.skip(latents) if self.c.skip else self.shape(x)

    def coefficients(self, x, latents):
        """Shape times gain per band: a speech frame's level spans 60 dB, which no linear head follows well."""
        gain = torch.exp(self.gain(x).clamp(max=3.0))
        return deinterleave(self.shapes(x, latents) * F.linear(gain, self.spread), self.c.coefs // self.c.block)

    @exact
    def white(self, latents):
        """Noise within -1..1 that follows from the latents, [B, T * hop]."""
        return torch.sin(F.linear(latents, self.scatter)).flatten(1)

    def colour(self, white, x, tail):
        """MDCT coefficients [B, blocks, N] of noise [B, T * hop], shaped in time, then in bands; `tail` as `mdct` has it."""
        envelope = F.linear(torch.exp(self.envelope(x).clamp(max=3.0)), self.lines)
        coefs, tail = exact(mdct)(white * envelope.flatten(1), tail, self.basis, self.c.block, self.by_fft)
        per_step = self.c.coefs // self.c.block
        level = F.linear(torch.exp(self.level(x).clamp(max=3.0)), self.spread)
        return deinterleave(interleave(coefs, per_step) * level, per_step), tail

    def synthesise(self, coefs, tail):
        """Overlap-add of the atoms; `tail` is the open slope of the block before, [B, 1, overlap]."""
        c = self.c
        seg = coefs @ self.basis if self.by_fft is None else Atoms.apply(coefs, self.by_fft)
        open_end = seg[..., c.block:]
        before = torch.cat([tail, open_end[:, :-1]], 1)
        body = torch.cat([seg[..., :c.overlap] + before, seg[..., c.overlap:c.block]], -1)
        return body.flatten(1), open_end[:, -1:]

    def forward(self, latents, states):
        c, (tail, *states) = self.c, states
        x, after = self.trunk(latents, states)
        states = states[c.dec_depth:]
        coefs = self.coefficients(x, latents)
        if not c.harmonics:
            if c.noise:
                noise, white = self.colour(self.white(latents), x, states[0])
                coefs, after = coefs + noise, [*after, white]
            pcm, tail = exact(self.synthesise)(coefs, tail)
            return pcm, [tail] + after
        plain, tail = exact(self.synthesise)(coefs, tail)
        overtones, *last = exact(self.harmonics)(plain, x, *states[-2:])
        pcm = plain + overtones
        if c.noise:
            noise, white = self.colour(self.white(latents), x, states[0])
            noise, slope = exact(self.synthesise)(noise, states[1])
            pcm, after = pcm + noise, [*after, white, slope]
        return pcm, [tail] + after + last

    def draws(self, latents):
        """For training, [3, B, T * hop]: without noise and overtones, then with them and two independent draws of the
        noise; [1, ...] without noise."""
        c = self.c
        states = zero_states(self, len(latents), latents.device)
        x, _ = self.trunk(latents, states[1:])
        plain = exact(self.synthesise)(self.coefficients(x, latents), states[0])[0]
        if not c.noise:
            return plain[None]
        # The waveform shall be right by itself, not bent to make overtones.
        full = plain + exact(self.harmonics)(plain.detach(), x, *states[-2:])[0] if c.harmonics else plain
        size = (len(latents), latents.shape[1] * c.hop)
        noises = []
        for _ in range(2):
            white = torch.sin(2 * math.pi * torch.rand(size, device=latents.device))
            noises.append(exact(self.synthesise)(self.colour(white, x, states[0])[0], states[0])[0])
        return torch.stack([plain, full + noises[0], full + noises[1]])


def zero_states(module, batch, device=None):
    return [torch.zeros(batch, *shape, device=device) for shape in module.state_shapes]
