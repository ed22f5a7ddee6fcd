"""Audible disturbance of speech, differentiable: the perceptual model of PESQ without its alignments.

Bark spectra, Zwicker loudness, a dead zone for masking and a heavier count for what was added than for what was left
out: ITU-T P.862 (2001), sections 10.2.3 to 10.2.8; as a training loss: Martin-Donas et al. 2018 (PMSQE).
"""
import torch
import torch.nn as nn

from .transforms import Power, Spectrum

SPEECH_SPL = 79.0         # dB: the level to which speech is scaled
EXPONENT = 0.23           # Zwicker and Fastl, Psychoacoustics, 8.1
WINDOW = 0.032            # seconds
TOP = 8000.0              # Hz: nothing above counts


def bark(freq):
    """Traunmueller 1990."""
    return 26.81 * freq / (1960 + freq) - 0.53


def threshold(freq):
    """Hearing threshold in quiet in dB SPL (Terhardt 1979)."""
    khz = freq.clamp(min=60) / 1000
    return 3.64 * khz ** -0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz ** 4


class Disturbance(nn.Module):
    """pcm [B, samples] against pcm -> scalar, about what the raw PESQ score loses (0 = nothing audible).

    The weights were fitted to PESQ-WB of 168 outputs of this codec at all its rates (correlation 0.96).
    """

    def __init__(self, rate=24000, bands=44, symmetric=0.016, added=0.005):
        super().__init__()
        self.n = round(WINDOW * rate)
        self.symmetric, self.added = symmetric, added
        freq = torch.arange(self.n // 2 + 1) * rate / self.n
        low, high = bark(torch.tensor(80.0)), bark(torch.tensor(TOP))
        edges = torch.linspace(float(low), float(high), bands + 1)
        index = torch.bucketize(bark(freq), edges) - 1
        bank = torch.zeros(bands, len(freq))
        inside = (index >= 0) & (index < bands)
        bank[index[inside], inside.nonzero()[:, 0]] = 1
        self.width = float(edges[1] - edges[0])
        centre = 1960 * ((edges[1:] + edges[:-1]) / 2 + 0.53) / (26.28 - (edges[1:] + edges[:-1]) / 2)
        full = bank.sum(1) > 0
        window = torch.hann_window(self.n)
        # Parseval: the sum over the bins of a frame is its mean square.
        self.register_buffer("window", window / window.pow(2).sum().sqrt() * (2 / self.n) ** 0.5, persistent=False)
        self.register_buffer("bank", bank[full], persistent=False)
        self.register_buffer("quiet", 10 ** (threshold(centre[full]) / 10), persistent=False)

    def powers(self, pcm):
        """Powers of the Bark bands, [B, frames, bands]."""
        return Power.apply(Spectrum.apply(pcm, self.window)) @ self.bank.t()

    def loudness(self, power):
        quiet = self.quiet
        return (quiet / 0.5) ** EXPONENT * ((0.5 + 0.5 * power / quiet) ** EXPONENT - 0.5 ** EXPONENT)

    def frames(self, target, output):
        """Symmetric and asymmetric disturbance of each frame, [B, frames]."""
        scale = 10 ** (SPEECH_SPL / 10) / (target.pow(2).mean(-1) + 1e-6)[:, None, None]
        x, y = self.powers(target) * scale, self.powers(output) * scale
        lx, ly = self.loudness(x), self.loudness(y)
        error = ly - lx
        heard = (error.abs() - 0.25 * torch.minimum(lx, ly)).clamp(min=0)
        with torch.no_grad():
            ratio = ((y + 1e4) / (x + 1e4)) ** 1.2
            added = torch.where(ratio < 3, torch.zeros(()), ratio.clamp(max=12))
            loud = ((x.sum(-1) + 1e5) / 10 ** (SPEECH_SPL / 10)) ** 0.04
        span = self.width * len(self.bank)
        even = (heard.pow(2).mean(-1) + 1e-6).sqrt() * span / loud
        extra = (heard * added).mean(-1) * span / loud
        return even, extra

    def forward(self, target, output):
        even, extra = self.frames(target, output)
        # The worst frames of 320 ms decide how they are heard.
        peak = lambda v: (v + 1e-3).unfold(-1, min(20, v.shape[-1]), 10).pow(6).mean(-1).pow(1 / 6)
        rms = lambda v: v.pow(2).mean(-1).sqrt()
        return (self.symmetric * rms(peak(even)) + self.added * rms(peak(extra))).mean()
