"""A source of harmonics that follows from the decoded waveform.

What the latents still say of a voice is its waveform up to 1 or 2 kHz. Any function of it without memory has the same
period, so its overtones lie where those of the voice lie, and stay in step from frame to frame without a pitch, a phase
or an oscillator that would have to be coded or remembered (regeneration of high frequencies: Makhoul and Berouti 1979;
learned waveshapers: Hayes, Saitis and Fazekas 2021). Only the levels of the bands come from the network. All of it is a
finite response: it knows no more than the last `HISTORY` samples.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

TAPS = 128      # of the filter that shapes the overtones, [samples]; late by half of it, 2.7 ms
LISTEN = 48     # taps of the filters before the waveshapers
# dB by which bands evenly spaced on the scale of `arch.band_matrix` are raised.
TILT = (23, 30, 28, 23, 19, 15, 12, 10, 9, 9, 10, 13, 19, 30, 40, 40)
SMOOTH = 256    # samples of the level by which the waveform is divided
# A double zero there takes 60 dB from the lowest overtones against the highest, which no 16-bit filter could.
ROOT = 0.95
HISTORY = TAPS - 1 + 2 + SMOOTH - 1


def band_filters(triangles, taps):
    """Linear-phase filters [bands, taps] with the responses [bands, n] of triangles on n bins up to half the rate."""
    n = triangles.shape[1]
    response = torch.cat([triangles[:, :1], triangles], 1)  # bins at 0, 1/n, ... instead of the middles
    impulse = torch.fft.irfft(response, 2 * n).roll(taps // 2, 1)[:, :taps]
    return impulse * torch.hann_window(taps + 1)[1:]


def whitening(bands):
    """Gains [bands] after which the overtones of voiced speech are about as strong in every band as white noise."""
    points = torch.linspace(0, len(TILT) - 1, bands)
    low = points.floor().clamp(max=len(TILT) - 2).long()
    tilt = torch.tensor(TILT, dtype=torch.float32)
    return 10 ** ((tilt[low] + (points - low) * (tilt[low + 1] - tilt[low])) / 20)


class Harmonics(nn.Module):
    """plain [B, T * hop], features [B, T, C], states -> overtones [B, T * hop], states.

    `before` [B, 1, HISTORY] holds the last samples of `plain`, `gains` [B, 1, shapers + bands] those of the frame before.
    """

    def __init__(self, width, shapers, rate, hop, overlap, triangles):
        super().__init__()
        self.hop, self.overlap, self.shapers, bands = hop, overlap, shapers, len(triangles)
        # Fixed, so that no gradient goes through the samples: a third off a step. Sines and cosines of several periods
        # together are any function of the low-passed waveform; which one, the mix says.
        if shapers < 4 or shapers % 4:
            raise ValueError(f"harmonics {shapers}, allowed: multiples of 4")
        t = torch.arange(LISTEN) - LISTEN / 2 + 0.5
        cut = torch.tensor([700.0, 1300.0])[:, None] / rate
        low = 2 * cut * torch.sinc(2 * cut * t) * torch.hann_window(LISTEN + 2)[1:-1]
        low = low / low.sum(1, keepdim=True)
        kinds = [(f, turn, phase) for f in low for turn in torch.linspace(2.0, 4.0, shapers // 4) for phase in (0.0, torch.pi / 2)]
        for name, values in zip(("listen", "turns", "phase"), zip(*kinds)):
            values = torch.stack(values)[:, None] if name == "listen" else torch.tensor(values)[:, None]
            self.register_buffer(name, values.half().float(), persistent=False)
        self.mix = nn.Linear(width, shapers)
        self.gain = nn.Linear(width, bands)
        nn.init.normal_(self.mix.weight, std=0.01)
        nn.init.constant_(self.mix.bias, 0.3)
        nn.init.normal_(self.gain.weight, std=0.01)
        nn.init.constant_(self.gain.bias, -5.0)
        filters = band_filters(triangles, TAPS) * whitening(bands)[:, None]
        self.register_buffer("filters", filters.half().float(), persistent=False)
        slope = torch.sin(torch.pi / 2 * (torch.arange(overlap) + 0.5) / overlap) ** 2
        self.register_buffer("rise", slope.half().float(), persistent=False)
        self.state_shapes = [(1, HISTORY), (1, shapers + bands)]

    @torch.no_grad()
    def shaped(self, heard):
        """Waveshaped channels [B, shapers, samples + TAPS - 1] of [B, HISTORY + samples], level-independent before the shapers."""
        # Running sums: ten times faster than a pool. In 64 bits, for what was loud before must not be left in them.
        sums = F.pad(heard.double().pow(2).cumsum(-1), (1, 0))
        power = ((sums[:, SMOOTH:] - sums[:, :-SMOOTH]) / SMOOTH).clamp(min=0).float()[:, None]
        level = torch.sqrt(power + 1e-8)
        skip = SMOOTH - LISTEN
        x = F.conv1d(heard[:, None, skip:], self.listen) / level
        y = torch.sin(self.turns * x + self.phase) - torch.sin(self.phase)
        return y[..., 2:] - 2 * ROOT * y[..., 1:-1] + ROOT**2 * y[..., :-2]

    def filtered(self, channels, gains, keep):
        """Channels [B, T, shapers, TAPS - 1 + keep] mixed and filtered by gains [B, T, shapers + bands] -> [B, T, keep]"""
        source = (gains[..., None, : self.shapers] @ channels)[..., 0, :]
        taps = gains[..., self.shapers:] @ self.filters
        size = 768 if keep > 385 else 512
        out = torch.fft.irfft(torch.fft.rfft(source, size) * torch.fft.rfft(taps, size), size)
        return out[..., TAPS - 1: TAPS - 1 + keep]

    def forward(self, plain, x, before, gains):
        b, t, _ = x.shape
        heard = torch.cat([before[:, 0], plain], 1)
        channels = self.shaped(heard).unfold(-1, TAPS - 1 + self.hop, self.hop).transpose(1, 2)
        now = torch.cat([self.mix(x), torch.exp(self.gain(x).clamp(max=3.0))], -1)
        old = torch.cat([gains, now[:, :-1]], 1)
        new = self.filtered(channels, now, self.hop)
        fading = self.filtered(channels[..., : TAPS - 1 + self.overlap], old, self.overlap)
        first = fading + self.rise * (new[..., : self.overlap] - fading)
        out = torch.cat([first, new[..., self.overlap:]], -1).reshape(b, t * self.hop)
        return out, heard[:, None, -HISTORY:], now[:, -1:]

    @torch.no_grad()
    def follow(self, level, below=8.0):
        """Begins with the levels that a network of the same features gives to noise, some dB below: from a silent start the
        gradient is too small to find them (600 steps moved the overtones from -50 dB by 1)."""
        self.gain.weight.copy_(level.weight)
        self.gain.bias.copy_(level.bias - below * math.log(10) / 20)
