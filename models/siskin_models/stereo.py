"""Causal codec of general sound in stereo: mid and side, long windows, noise in both, panning by bands.

Shapes: pcm [B, 2, samples], MDCT coefficients [B, T, 2, hop] of mid and side, trunk features [B, T, C], latents [B, T, D].
As in `arch.py` all modules take and return explicit states.

What differs from speech: windows overlap fully (a steady tone fills three coefficients, not twenty), the side is what the bands
of the mid panned leave, and a gain in time follows the synthesis, since long windows smear attacks.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from .arch import EVEN_FLOOR, Block, band_centres, band_matrix, exact, mdct_window, scatter, unit
from .transforms import Analysis, Atoms

HALF = math.sqrt(0.5)


@dataclass
class StereoConfig:
    sample_rate: int = 48000
    hop: int = 960            # samples a frame (20 ms), MDCT coefficients of a channel, overlap of the windows
    latent: int = 128
    enc_width: int = 192
    enc_depth: int = 4
    dec_width: int = 256
    dec_depth: int = 5
    mult: int = 2
    kernel: int = 7
    mid: int = 576            # coefficients of the mid that the networks see and make, 25 Hz each; noise has all of them
    side: int = 320           # of the side
    skip_mid: int = 240       # coefficients of the mid that go past the trunks, too
    skip_side: int = 80       # of the side
    bands: int = 32
    points: int = 16          # of envelopes in time, a frame

    # As `arch.Config` has them.
    channels = 2
    trunk = 1
    noise = True
    harmonics = 0

    @property
    def overlap(self):
        return self.hop


def turn(x, axis):
    """Left and right <-> mid and side, orthonormal; its own inverse."""
    a, b = x.unbind(axis)
    return torch.stack([(a + b) * HALF, (a - b) * HALF], axis)


def transform(pcm, tail, window, n):
    """pcm [B, 2, samples], samples before [B, 2, n] -> MDCT coefficients [B, T, 2, n], next tail."""
    x = torch.cat([tail, pcm], -1)
    return Analysis.apply(x.unfold(-1, 2 * n, n), window, n).transpose(1, 2), x[..., -n:]


class StereoEncoder(nn.Module):
    """pcm [B, 2, samples], states -> latents [B, T, D] of fixed norm sqrt(D), states."""

    def __init__(self, c: StereoConfig):
        super().__init__()
        self.c = c
        self.register_buffer("window", mdct_window(c.hop, c.hop).float(), persistent=False)
        bands = band_matrix(c.hop, c.bands, c.sample_rate)
        self.register_buffer("pool", bands / bands.sum(1, keepdim=True), persistent=False)
        self.register_buffer("spread", bands.t().contiguous(), persistent=False)
        self.inp = nn.Linear(c.mid + c.side + 3 * c.bands + c.points, c.enc_width)
        self.blocks = nn.ModuleList(Block(c.enc_width, c.mult, c.kernel) for _ in range(c.enc_depth))
        self.out = nn.Linear(c.enc_width, c.latent)
        self.skip = nn.Linear(c.skip_mid + c.skip_side, c.latent, bias=False)
        nn.init.normal_(self.skip.weight, std=0.02)
        self.state_shapes = [(2, c.hop)] + [b.state_shape for b in self.blocks]

    def features(self, coefs, fresh, before):
        """Companded coefficients, levels of the bands and their likeness, the course of the newest samples [B, 2, samples] in
        time (`before` is the sample before them, [B, 2, 1]) -> [B, T, mid + side + 3 bands + points], and the coefficients
        divided by the levels of their bands."""
        c = self.c
        mid, side = coefs[:, :, 0], coefs[:, :, 1]
        power = F.linear(coefs * coefs, self.pool)
        level = 0.25 * torch.log(power + 1e-8) + 1.5
        cross = F.linear(mid * side, self.pool)
        like = cross * (power[:, :, 0] * power[:, :, 1] + 1e-14).rsqrt()
        root = 3 * coefs * (coefs.abs() + 1e-4).rsqrt()
        steps = torch.diff(fresh, dim=-1, prepend=before)
        b, _, t = steps.shape
        course = steps.square().sum(1).reshape(b, t // c.hop, c.points, -1).mean(-1)
        course = 0.25 * torch.log(course + 1e-9) + 2
        known = torch.cat([root[:, :, 0, :c.mid], root[:, :, 1, :c.side], level.flatten(2), like, course], -1)
        # Both channels by the mid's and the side's common level, so that a quiet side stays quiet.
        even = F.linear(power.sum(2), self.spread) + EVEN_FLOOR
        even = coefs * even.rsqrt()[:, :, None]
        return known, torch.cat([even[:, :, 0, :c.skip_mid], even[:, :, 1, :c.skip_side]], -1)

    def forward(self, pcm, states):
        pcm = turn(pcm, 1)
        coefs, tail = exact(transform)(pcm, states[0], self.window, self.c.hop)
        known, even = exact(self.features)(coefs, pcm, states[0][..., -1:])
        x, after = self.inp(known), [tail]
        for block, state in zip(self.blocks, states[1:]):
            x, state = block(x, state)
            after.append(state)
        return unit(self.out(x) + self.skip(even)), after

    @torch.no_grad()
    def rotate(self, rotation):
        """Turns the latents by an orthogonal matrix [D, D]."""
        for weight in (self.out.weight, self.out.bias, self.skip.weight):
            weight.copy_(rotation @ weight)


class StereoDecoder(nn.Module):
    """latents [B, T, D], states -> pcm [B, 2, T * hop], late by `hop` samples, states."""

    def __init__(self, c: StereoConfig):
        super().__init__()
        self.c = c
        self.register_buffer("window", mdct_window(c.hop, c.hop).float(), persistent=False)
        self.register_buffer("spread", band_matrix(c.hop, c.bands, c.sample_rate).t().contiguous(), persistent=False)
        self.register_buffer("scatter", scatter(c.latent, 2 * c.hop), persistent=False)
        at = (torch.arange(c.hop) + 0.5) / c.hop * c.points
        # Straight lines from the last point of the frame before over the points of this one, which lie at ends of steps.
        lines = (1 - (at[:, None] - torch.arange(c.points + 1)).abs()).clamp(min=0)
        self.register_buffer("lines", lines, persistent=False)
        self.inp = nn.Linear(c.latent, c.dec_width)
        self.blocks = nn.ModuleList(Block(c.dec_width, c.mult, c.kernel) for _ in range(c.dec_depth))
        self.norm = nn.LayerNorm(c.dec_width)
        self.shape = nn.Linear(c.dec_width, c.mid + c.side, bias=False)
        self.skip = nn.Linear(c.latent, c.skip_mid + c.skip_side, bias=False)
        nn.init.normal_(self.skip.weight, std=0.02)
        # Gains of both channels, levels of their noise, panning; the envelopes of noise and of all.
        self.gain = nn.Linear(c.dec_width, 2 * c.bands)
        self.level = nn.Linear(c.dec_width, 2 * c.bands)
        self.pan = nn.Linear(c.dec_width, c.bands)
        self.envelope = nn.Linear(c.dec_width, c.points)
        self.swell = nn.Linear(c.dec_width, c.points)
        for head, bias in ((self.gain, -4.0), (self.level, -7.0), (self.pan, 0.0), (self.envelope, 0.0), (self.swell, 0.0)):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, bias)
        # The open slope, the blocks', the last samples of the noise, the last points of both envelopes.
        self.state_shapes = [(2, c.hop)] + [b.state_shape for b in self.blocks] + [(2, c.hop), (1, 2)]

    @torch.no_grad()
    def rotate(self, rotation):
        """Takes latents that were turned by an orthogonal matrix [D, D]."""
        for weight in (self.inp.weight, self.skip.weight):
            weight.copy_(weight @ rotation.T)

    @torch.no_grad()
    def raise_noise(self, decibels, above=0.0):
        """Makes the noise louder in the bands whose middles lie at `above` Hz or higher."""
        self.level.bias += self.more(decibels, above)

    @torch.no_grad()
    def raise_all(self, decibels, above=0.0):
        """Makes everything louder in those bands."""
        for head in (self.gain, self.level):
            head.bias += self.more(decibels, above)

    def more(self, decibels, above):
        return (band_centres(self.c) >= above).repeat(2) * (decibels * math.log(10) / 20)

    def trunk(self, latents, states):
        x, after = self.inp(latents), []
        for block, state in zip(self.blocks, states):
            x, state = block(x, state)
            after.append(state)
        return self.norm(x), after

    def coefficients(self, x, latents):
        """What is not noise, before panning, [B, T, 2, hop]."""
        c, made = self.c, []
        gains = torch.exp(self.gain(x).clamp(max=3.0)).split(c.bands, -1)
        shapes = self.shape(x).split([c.mid, c.side], -1)
        lows = self.skip(latents).split([c.skip_mid, c.skip_side], -1)
        for shape, low, gain in zip(shapes, lows, gains):
            heard, past = shape.shape[-1], low.shape[-1]
            shape = torch.cat([shape[..., :past] + low, shape[..., past:]], -1)
            made.append(F.pad(shape * F.linear(gain, self.spread[:heard]), (0, c.hop - heard)))
        return torch.stack(made, 2)

    def bands(self, logs):
        """Levels of coefficients [B, T, 2, hop] from logarithms of the bands' [B, T, 2 bands]."""
        gains = torch.exp(logs.clamp(max=3.0)).unflatten(-1, (2, self.c.bands))
        return F.linear(gains, self.spread)

    @exact
    def white(self, latents):
        """Noise within -1..1 that follows from the latents, [B, 2, T * hop]."""
        noise = torch.sin(F.linear(latents, self.scatter)).unflatten(-1, (2, self.c.hop))
        return noise.transpose(1, 2).flatten(2)

    def course(self, points, last):
        """Gain in time [B, T * hop] from the logarithms of its points [B, T, points] and of the last one before [B, 1]."""
        before = torch.cat([last[:, None], points[:, :-1, -1:]], 1)
        return torch.exp(F.linear(torch.cat([before, points], -1), self.lines)).flatten(1)

    def synthesise(self, coefs, tail):
        """Overlap-add: coefficients [B, T, C, hop], open slope [B, C, hop] -> [B, C, T * hop], next slope."""
        n = self.c.hop
        seg = Atoms.apply(coefs.transpose(1, 2), self.window)
        before = torch.cat([tail[:, :, None], seg[:, :, :-1, n:]], 2)
        return (seg[..., :n] + before).flatten(2), seg[:, :, -1, n:]

    def parts(self, x, latents):
        """Everything that does not depend on the noise: coefficients, levels, panning, points of the envelopes."""
        pan = F.linear(1.05 * torch.tanh(self.pan(x)), self.spread)
        return (self.coefficients(x, latents), self.bands(self.level(x)), pan,
                self.envelope(x).clamp(-4.0, 3.0), self.swell(x).clamp(-4.0, 1.5))

    @staticmethod
    def panned(coefs, pan):
        mid, side = coefs.unbind(2)
        return torch.stack([mid, side + pan * mid], 2)

    def noise(self, white, level, points, last, tail):
        """Coefficients [B, T, 2, hop] of noise [B, 2, T * hop], shaped in time, then in bands."""
        shaped = white * self.course(points, last)[:, None]
        coefs, tail = transform(shaped, tail, self.window, self.c.hop)
        return coefs * level, tail

    def finish(self, coefs, pan, swell, tail, last):
        pcm, tail = self.synthesise(self.panned(coefs, pan), tail)
        return turn(pcm * self.course(swell, last)[:, None], 1), tail

    def forward(self, latents, states):
        tail, *blocks, before, last = states
        x, after = self.trunk(latents, blocks)
        coefs, level, pan, envelope, swell = (v.float() for v in exact(self.parts)(x, latents))
        noise, before = exact(self.noise)(self.white(latents), level, envelope, last[:, 0, :1], before)
        pcm, tail = exact(self.finish)(coefs + noise, pan, swell, tail, last[:, 0, 1:])
        last = torch.stack([envelope[:, -1, -1], swell[:, -1, -1]], -1)[:, None]
        return pcm, [tail, *after, before, last]

    def draws(self, latents, way):
        """For training, [3, B, T * hop], as heard from a direction `way` [B, 2] (mid, side): without noise, then with two
        independent draws of it."""
        c, b = self.c, len(latents)
        zero = latents.new_zeros(b, 2, c.hop)
        x, _ = self.trunk(latents, [latents.new_zeros(b, *s) for s in self.state_shapes[1:-2]])
        coefs, level, pan, envelope, swell = (v.float() for v in self.parts(x, latents))
        # The side has what is panned of the mid, so a direction is one sum for each coefficient.
        of_mid, of_side = way[:, None, :1] + way[:, None, 1:] * pan, way[:, None, 1:]
        made, last = [coefs], zero[:, 0, :1]
        for _ in range(2):
            white = torch.sin(2 * math.pi * torch.rand(b, 2, latents.shape[1] * c.hop, device=latents.device))
            made.append(coefs + exact(self.noise)(white, level, envelope, last, zero)[0])
        gain = exact(self.course)(swell, last)
        heard = torch.cat([m[:, :, 0] * of_mid + m[:, :, 1] * of_side for m in made])[:, :, None]
        pcm = exact(self.synthesise)(heard, zero[:, :1].repeat(3, 1, 1))[0]
        return pcm.unflatten(0, (3, b))[:, :, 0] * gain
