"""Random crops in stereo from the cache that `models/data/general.py` writes, and speech of `models/data/fetch.py` between them."""
import json
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly

from .data import Corpus, coloured, glides, rms, tones

SPEECH_RATE = 24_000


class GeneralCorpus:
    """Music and sounds as rows of one flat file of 16-bit pairs."""

    def __init__(self, folder, speech=None, rate=48_000, split="train"):
        folder, self.rate = Path(folder), rate
        self.samples = np.memmap(folder / "corpus.i16", "<i2", "r").reshape(-1, 2)
        self.rows = [r for r in json.loads((folder / "index.json").read_text()) if r["split"] == split]
        self.speech = Corpus(speech, split, SPEECH_RATE) if speech and Path(speech).exists() else None
        self.spans = {}
        for kind in ("music", "sound"):
            own = [r for r in self.rows if r["kind"] == kind]
            # A source of many hours is heard more often than one of minutes, but not by as much.
            total = {}
            for r in own:
                total[r["source"]] = total.get(r["source"], 0) + r["samples"]
            weights = np.array([r["samples"] / total[r["source"]] ** 0.5 for r in own])
            self.spans[kind] = own, weights / weights.sum()

    def crop(self, rng, kind, length):
        """[2, length]; recordings shorter than that begin somewhere in silence."""
        rows, weights = self.spans[kind]
        for _ in range(20):
            row = rows[rng.choice(len(rows), p=weights)]
            spare = row["samples"] - length
            start = rng.integers(min(spare, 0), max(spare, 0) + 1)
            low, high = max(start, 0), min(start + length, row["samples"])
            x = np.zeros((2, length), np.float32)
            part = self.samples[row["offset"] + low: row["offset"] + high].astype(np.float32).T / 32768
            x[:, low - start: low - start + part.shape[1]] = part
            if np.abs(x).max() > 0.01:
                break
        return x

    def voice(self, rng, length):
        """Speech of 24 kHz at a place between left and right."""
        up = self.rate // SPEECH_RATE
        x = resample_poly(self.speech.crop(rng, "speech", length // up + 1), up, 1)[:length].astype(np.float32)
        return placed(rng, x)

    def batch(self, rng, size, length, tonal=0.1):
        """[size, 2, length]: a share `tonal` of tones and glides, else music, sounds, speech with and without music behind it,
        noise; at -30..0 dB of full scale."""
        out = np.zeros((size, 2, length), np.float32)
        for i in range(size):
            kind = rng.random()
            if rng.random() < tonal:
                # One sound in the middle or aside, or two at places of their own.
                x = sum(placed(rng, (tones if rng.random() < 0.6 else glides)(rng, length, self.rate))
                        for _ in range(rng.integers(1, 3)))
            elif kind < 0.62:
                x = self.crop(rng, "music", length)
            elif kind < 0.82 or self.speech is None:
                x = self.crop(rng, "sound", length)
                if rng.random() < 0.3:
                    x = mixed(rng, x, self.crop(rng, "music", length), -5, 15)
            elif kind < 0.97:
                x = self.voice(rng, length)
                if rng.random() < 0.4:
                    x = mixed(rng, x, self.crop(rng, "music", length), 0, 20)
            else:
                x = np.stack([coloured(rng, length), coloured(rng, length)])
            if rng.random() < 0.03:
                x[:, rng.integers(0, length):] = 0
            if rng.random() < 0.5:
                x = x[::-1]
            if (place := rng.random()) < 0.08:
                # All in the side, as a cable that is wired wrongly makes it: without such crops it came back 35 dB too soft.
                x = x * np.array([[1], [-1]], np.float32)
            elif place < 0.16:
                x = np.stack([x.mean(0), np.zeros(length, np.float32)])[:: rng.choice((-1, 1))]
            quietest = -55 if rng.random() < 0.1 else -30
            out[i] = x * (10 ** (rng.uniform(quietest, 0) / 20) / (np.abs(x).max() + 1e-6))
        return torch.from_numpy(out)


def placed(rng, x):
    """Samples at a place between left and right, in the middle half of the time, [2, samples]."""
    angle = np.pi / 4 if rng.random() < 0.5 else rng.uniform(0, np.pi / 2)
    return np.stack([np.cos(angle) * x, np.sin(angle) * x]).astype(np.float32)


def mixed(rng, x, other, low, high):
    """Another sound `low` to `high` dB below the first."""
    return x + other * 10 ** (-rng.uniform(low, high) / 20) * rms(x) / (rms(other) + 1e-6)
