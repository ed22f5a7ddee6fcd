"""Spectral losses without an adversary.

Complex-compressed STFT (Braun and Tashev 2021, arXiv 2009.12286) matches the waveform where it can be matched,
log-mel levels keep the energy where it cannot. Both on signals scaled to unit level, so that quiet speech counts
as much as loud speech.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


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


def emphasis(freq):
    """Weight of a bin: flat where speech is understood (100 Hz to 4 kHz), a third at 8 kHz, a tenth at 12 kHz."""
    return (1 / (1 + (freq / 5500) ** 3)) * (freq / (freq + 60))


class SpectralLoss(nn.Module):
    """pcm [B, samples] against pcm -> scalar parts."""

    def __init__(self, rate=24000, sizes=((512, 256, 48), (1024, 512, 80)), power=0.5):
        super().__init__()
        self.sizes, self.power = sizes, power
        for n, _, mels in sizes:
            window = torch.hann_window(n)
            self.register_buffer(f"window{n}", window / window.pow(2).sum().sqrt(), persistent=False)
            self.register_buffer(f"mel{n}", mel_matrix(n // 2 + 1, mels, rate), persistent=False)
            weight = emphasis(torch.linspace(0, rate / 2, n // 2 + 1))
            self.register_buffer(f"weight{n}", weight / weight.mean(), persistent=False)

    def forward(self, target, output):
        level = 1 / (target.pow(2).mean(-1, keepdim=True).sqrt() + 1e-3)
        both = torch.cat([target * level, output * level])
        shape = both.new_zeros(())
        mel = both.new_zeros(())
        for n, hop, _ in self.sizes:
            spec = torch.stft(both, n, hop, window=getattr(self, f"window{n}"), center=False, return_complex=True)
            spec = torch.view_as_real(spec)                                   # [2B, bins, frames, 2]
            power = spec.pow(2).sum(-1)
            small = spec * (power + 1e-4).pow((self.power - 1) / 2)[..., None]
            x, y = small.chunk(2)
            weight = getattr(self, f"weight{n}")[:, None]
            shape = shape + ((x - y).pow(2).sum(-1) + 1e-6).sqrt().mul(weight).mean()
            level_x, level_y = (getattr(self, f"mel{n}") @ power + 1e-5).log().chunk(2)
            mel = mel + 0.5 * F.l1_loss(level_y, level_x)
        return {"shape": shape / len(self.sizes), "mel": mel / len(self.sizes)}
