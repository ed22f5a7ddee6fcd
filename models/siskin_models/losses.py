"""Spectral losses without an adversary.

Complex-compressed STFT (Braun and Tashev 2021, arXiv 2009.12286) matches the waveform where it can be matched; the
spectral energy distance (Gritsenko et al. 2020, arXiv 2008.01160) makes the rest as likely as what it stands for: of two
draws of the noise each shall be near the target, but no nearer to each other. Both on signals scaled to unit level, so
that quiet speech counts as much as loud speech.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .transforms import Power, Spectrum


def mel_matrix(bins, mels, rate):
    """Triangular filters of unit sum on the mel scale (O'Shaughnessy), [mels, bins]."""
    freq = torch.linspace(0, rate / 2, bins)
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700))
    edge = 700 * (10 ** (torch.linspace(0, float(top), mels + 2) / 2595) - 1)
    rise = (freq[None] - edge[:-2, None]) / (edge[1:-1] - edge[:-2])[:, None]
    fall = (edge[2:, None] - freq[None]) / (edge[2:] - edge[1:-1])[:, None]
    bank = torch.minimum(rise, fall).clamp(min=0)
    keep = bank.sum(1) > 0
    return bank[keep] / bank[keep].sum(1, keepdim=True)


def emphasis(freq, knee):
    """Weight of a bin: about even on the mel scale, which is where speech is understood; nothing below 60 Hz."""
    return (freq / (freq + 60)) / (1 + (freq / knee) ** 2)


def unit_level(target):
    """Gain [B, 1] that brings pcm [B, samples] to a mean square of one."""
    return 1 / (target.pow(2).mean(-1, keepdim=True).sqrt() + 1e-3)


class Windows(nn.Module):
    """Power spectra and mel levels with windows of several sizes, one a call, in turn: half the time, the same mean."""

    def __init__(self, rate, sizes, knee):
        super().__init__()
        self.sizes, self.turn = sizes, 0
        for n, mels in sizes:
            window = torch.hann_window(n)
            self.register_buffer(f"window{n}", window / window.pow(2).sum().sqrt(), persistent=False)
            self.register_buffer(f"mel{n}", mel_matrix(n // 2 + 1, mels, rate), persistent=False)
            weight = emphasis(torch.linspace(0, rate / 2, n // 2 + 1), knee)
            self.register_buffer(f"weight{n}", weight / weight.mean(), persistent=False)

    def next(self):
        """The size of this call."""
        self.turn += 1
        return self.sizes[self.turn % len(self.sizes)][0]

    def spectrum(self, pcm, n):
        """[B, frames, bins], complex"""
        return Spectrum.apply(pcm, getattr(self, f"window{n}"))


class ShapeLoss(Windows):
    """pcm [B, samples] against pcm -> distance of their companded complex spectra."""

    def __init__(self, rate=24000, sizes=((512, 48), (1024, 80)), power=0.5, knee=5500.0):
        super().__init__(rate, sizes, knee)
        self.power = power

    def view(self, pcm, n):
        spec = self.spectrum(pcm, n)
        return spec * (Power.apply(spec) + 1e-4).pow((self.power - 1) / 2)

    def forward(self, target, output, level=None):
        n = self.next()
        level = unit_level(target) if level is None else level
        error = self.view(target * level, n) - self.view(output * level, n)
        error = (Power.apply(error) + 1e-6).sqrt()
        return (error.mean((0, 1)) * getattr(self, f"weight{n}")).mean()


class EnergyDistance(Windows):
    """pcm [B, samples] against one or two draws [N, B, samples] of pcm -> spectral energy distance.

    The distance of two signals is that of their log-mel levels and of the magnitudes of their bins, companded.
    """

    def __init__(self, rate=24000, sizes=((512, 48), (2048, 96), (1024, 80), (256, 32)), power=0.3, knee=9000.0, bins=1.0):
        super().__init__(rate, sizes, knee)
        self.power, self.bins = power, bins

    def view(self, pcm, n):
        power = Power.apply(self.spectrum(pcm, n))
        return (power @ getattr(self, f"mel{n}").t() + 1e-5).log(), (power + 1e-5).pow(self.power / 2)

    def between(self, a, b, n):
        bins = ((a[1] - b[1]).abs().mean((0, 1)) * getattr(self, f"weight{n}")).mean()
        return 0.5 * F.l1_loss(a[0], b[0]) + self.bins * bins

    def forward(self, target, draws, level=None):
        level, n = unit_level(target) if level is None else level, self.next()
        with torch.no_grad():
            wanted = self.view(target * level, n)
        got = [self.view(draw * level, n) for draw in draws]
        near = sum(self.between(wanted, view, n) for view in got) / len(got)
        apart = self.between(got[0], got[1], n) if len(got) > 1 else 0
        return near - 0.5 * apart


class Convergence(Windows):
    """pcm [B, samples] against pcm -> how far the magnitudes are from the target's, as a share of those (spectral convergence, Arik
    et al. 2018, arXiv 1808.06719), plus half the mean difference in nepers of the frames' powers: of a sound that is 50 dB too soft
    the share says only that it is not there, and its gradient vanishes.

    To losses of companded bins a steady tone is three bins of a thousand, and silence costs them less than a tone that is not quite
    clean: codecs that were trained without this play tones 10 to 50 dB too soft.
    """

    def forward(self, target, output, level=None):
        n = self.next()
        level = unit_level(target) if level is None else level
        wanted, got = ((Power.apply(self.spectrum(pcm * level, n)) + 1e-6).sqrt() for pcm in (target, output))
        weight = getattr(self, f"weight{n}")
        error = ((wanted - got).square() * weight).mean((1, 2))
        # What is 20 dB below the level of the whole, as the side may be, counts less and less.
        share = (error / ((wanted.square() * weight).mean((1, 2)) + 0.01)).clamp(min=1e-6).sqrt().mean()
        powers = [((spec.square() * weight).mean(2) + 1e-5).log() for spec in (wanted, got)]
        return share + 0.5 * F.l1_loss(*powers)


class BandLevels(nn.Module):
    """pcm [B, samples] against pcm -> mean difference in nepers of the levels in third octaves over the whole crop.

    Losses of single frames are content with a median, which lies below the mean power; this one is not.
    """

    def __init__(self, rate=24000, n=2048):
        super().__init__()
        window = torch.hann_window(n)
        self.n = n
        self.register_buffer("window", window / window.pow(2).sum().sqrt(), persistent=False)
        self.register_buffer("bank", third_octaves(n // 2 + 1, rate), persistent=False)

    def levels(self, pcm):
        power = Power.apply(Spectrum.apply(pcm, self.window)).mean(1)
        # 60 dB below the whole is where a band ends to matter.
        return (power @ self.bank.t() + 1e-6 * self.n / 2).log()

    def forward(self, target, output, level=None):
        level = unit_level(target) if level is None else level
        return F.smooth_l1_loss(self.levels(output * level), self.levels(target * level), beta=0.1) / 2


def third_octaves(bins, rate, low=80.0, high=10e3):
    """[bands, bins], 0 or 1 with bins at the edges shared: the third octaves of IEC 61260 from `low` to `high` Hz."""
    centre = 1000 * 2 ** (torch.arange(-11, 11) / 3)
    centre = centre[(centre > low * 0.95) & (centre < high * 1.05)]
    width = rate / 2 / (bins - 1)
    freq = torch.arange(bins) * width
    upper = torch.minimum(freq[None] + width / 2, centre[:, None] * 2 ** (1 / 6))
    lower = torch.maximum(freq[None] - width / 2, centre[:, None] * 2 ** (-1 / 6))
    return ((upper - lower) / width).clamp(min=0)


class Voicing(nn.Module):
    """pcm [B, samples] against pcm -> by how much the bands of voiced frames repeat themselves after a pitch period more or
    less than the target's do: noise in place of overtones has the right level, but sounds hoarse.

    The autocorrelation of a band is the cosine transform of its power spectrum; the period is the target's, found below 1 kHz.
    """

    BANDS = ((700, 1400), (1400, 2200), (2200, 3200), (3200, 4500), (4500, 6000))

    def __init__(self, rate=24000, n=1024, voiced=0.6):
        super().__init__()
        self.n, self.voiced = n, voiced
        window = torch.hann_window(n)
        self.register_buffer("window", window / window.pow(2).sum().sqrt(), persistent=False)
        freq = torch.arange(n // 2 + 1) * rate / n
        self.register_buffer("lags", torch.arange(rate // 450, rate // 70).float(), persistent=False)
        self.low = (freq > 70) & (freq < 1000)
        turns = 2 * torch.pi / n * torch.arange(n // 2 + 1)
        self.register_buffer("turns", turns, persistent=False)
        # A Hann window lets its own autocorrelation fall with the lag; that is divided out.
        own = torch.fft.irfft(torch.fft.rfft(window, 2 * n).abs() ** 2)[:n]
        self.register_buffer("fall", (own / own[0]).clamp(min=0.05), persistent=False)
        self.register_buffer("cosines", torch.cos(self.lags[:, None] * turns[self.low]), persistent=False)
        self.inside = [(freq >= a) & (freq < b) for a, b in self.BANDS]
        self.near = torch.arange(-2, 2.25, 0.25)

    def power(self, pcm):
        """[B, frames, bins]"""
        spec = torch.stft(pcm, self.n, self.n // 4 * 3, window=self.window, center=False, return_complex=True)
        return torch.view_as_real(spec).pow(2).sum(-1).transpose(1, 2)

    @torch.no_grad()
    def periods(self, power):
        """Period in samples and whether voiced, [B, frames], from the spectra of the target."""
        low = power[..., self.low]
        like = low @ self.cosines.t() / (low.sum(-1, keepdim=True) + 1e-9) / self.fall[self.lags.long()]
        # Multiples of the period are as good: the shortest that is nearly the best.
        best = like.amax(-1, keepdim=True)
        peak = (like > 0.92 * best) & (like >= F.pad(like, (1, 0))[..., :-1]) & (like >= F.pad(like, (0, 1))[..., 1:])
        first = peak.float().argmax(-1)
        loud = power.sum(-1)
        return self.lags[first], (best[..., 0] > self.voiced) & (loud > 0.03 * loud.amax(-1, keepdim=True))

    def repetition(self, frames, periods, inside, floor):
        """Autocorrelation of a band near the period, [frames], of spectra [frames, bins]; bands below `floor` count little."""
        band = frames[:, inside]
        lags = periods[:, None] + self.near
        cosines = torch.cos(lags[..., None] * self.turns[inside])
        like = (cosines @ band[..., None])[..., 0] / (band.sum(-1, keepdim=True) + floor)
        return (like / self.fall[periods.long()][:, None]).amax(-1)

    def forward(self, target, output):
        level = unit_level(target)
        wanted, got = self.power(target * level), self.power(output * level)
        periods, voiced = self.periods(wanted)
        if not voiced.any():
            return output.sum() * 0
        wanted, got, periods = wanted[voiced], got[voiced], periods[voiced]
        floor, error = 1e-5 * wanted.sum(-1, keepdim=True), 0
        for inside in self.inside:
            with torch.no_grad():
                truth = self.repetition(wanted, periods, inside, floor)
            error = error + (self.repetition(got, periods, inside, floor) - truth).abs().mean()
        return error / len(self.inside)
