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


def emphasis(freq, knee):
    """Weight of a bin: about even on the mel scale, which is where speech is understood; nothing below 60 Hz."""
    return (freq / (freq + 60)) / (1 + (freq / knee) ** 2)


class SpectralLoss(nn.Module):
    """pcm [B, samples] against pcm -> scalar parts. One window size a call, in turn: half the time, the same mean."""

    def __init__(self, rate=24000, sizes=((512, 48), (1024, 80)), power=0.5, knee=5500.0):
        super().__init__()
        self.sizes, self.power, self.turn = sizes, power, 0
        for n, mels in sizes:
            window = torch.hann_window(n)
            self.register_buffer(f"window{n}", window / window.pow(2).sum().sqrt(), persistent=False)
            self.register_buffer(f"mel{n}", mel_matrix(n // 2 + 1, mels, rate), persistent=False)
            weight = emphasis(torch.linspace(0, rate / 2, n // 2 + 1), knee)
            self.register_buffer(f"weight{n}", weight / weight.mean(), persistent=False)

    def view(self, pcm, n):
        """Companded complex spectrum [B, bins, frames, 2] and log-mel levels [B, mels, frames]."""
        spec = torch.stft(pcm, n, n // 2, window=getattr(self, f"window{n}"), center=False, return_complex=True)
        spec = torch.view_as_real(spec)
        power = spec.pow(2).sum(-1)
        small = spec * (power + 1e-4).pow((self.power - 1) / 2)[..., None]
        return small, (getattr(self, f"mel{n}") @ power + 1e-5).log()

    def forward(self, target, output):
        n = self.sizes[self.turn % len(self.sizes)][0]
        self.turn += 1
        level = 1 / (target.pow(2).mean(-1, keepdim=True).sqrt() + 1e-3)
        with torch.no_grad():
            x, mel_x = self.view(target * level, n)
        y, mel_y = self.view(output * level, n)
        error = ((x - y).pow(2).sum(-1) + 1e-6).sqrt()
        return {"shape": (error.mean((0, 2)) * getattr(self, f"weight{n}")).mean(),
                "mel": 0.5 * F.l1_loss(mel_y, mel_x)}
