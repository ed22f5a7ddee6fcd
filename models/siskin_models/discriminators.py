"""Discriminators for adversarial fine-tuning: multi-resolution complex STFT and waveform periods.

STFT: SoundStream (Zeghidour et al. 2021, section III-D) and EnCodec (Defossez et al. 2022, 3.4); periods: HiFi-GAN
(Kong et al. 2020, 2.3). Each takes pcm [B, samples] and gives its feature maps, the last of which are the logits.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class StftDiscriminator(nn.Module):
    def __init__(self, n, channels=8):
        super().__init__()
        self.n = n
        self.register_buffer("window", torch.hann_window(n) * (2 / n) ** 0.5, persistent=False)
        sizes = [2] + [channels] * 4
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, (3, 9), stride=(1, 2), padding=(1, 4)) for a, b in zip(sizes, sizes[1:]))
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, pcm):
        spec = torch.stft(pcm, self.n, self.n // 2, window=self.window, center=False, return_complex=True)
        x, found = torch.view_as_real(spec).permute(0, 3, 2, 1), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found.append(x)
        return [*found, self.last(x)]


class PeriodDiscriminator(nn.Module):
    def __init__(self, period, channels=8):
        super().__init__()
        self.period = period
        sizes = [1, channels, 2 * channels, 4 * channels, 4 * channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, (5, 1), stride=(3, 1), padding=(2, 0)) for a, b in zip(sizes, sizes[1:]))
        self.last = nn.Conv2d(sizes[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, pcm):
        whole = pcm.shape[-1] // self.period * self.period
        x, found = pcm[:, None, :whole].unflatten(-1, (-1, self.period)), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found.append(x)
        return [*found, self.last(x)]


class Adversary(nn.Module):
    """All discriminators, their optimizer, and the losses of both sides (hinge; feature matching as in EnCodec)."""

    def __init__(self, rate=3e-4, resolutions=(512, 1024, 2048), periods=(2, 3, 5, 7)):
        super().__init__()
        self.parts = nn.ModuleList([StftDiscriminator(n) for n in resolutions] +
                                   [PeriodDiscriminator(p) for p in periods])
        self.optimizer = torch.optim.AdamW(self.parameters(), rate, betas=(0.8, 0.99))

    def learn(self, real, fake):
        """One step of the discriminators; the mean of their hinge losses."""
        loss = sum(F.relu(1 - d(real)[-1]).mean() + F.relu(1 + d(fake)[-1]).mean() for d in self.parts)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach() / len(self.parts)

    def judge(self, real, fake):
        """What the decoder is to lower: {"adversary": hinge, "features": relative L1 of the feature maps}."""
        self.requires_grad_(False)
        deceive = match = 0
        for d in self.parts:
            with torch.no_grad():
                wanted = d(real)
            got = d(fake)
            deceive = deceive + F.relu(1 - got[-1]).mean()
            match = match + sum(F.l1_loss(g, w) / (w.abs().mean() + 1e-6) for g, w in zip(got[:-1], wanted)) / 4
        self.requires_grad_(True)
        return {"adversary": deceive / len(self.parts), "features": match / len(self.parts)}
