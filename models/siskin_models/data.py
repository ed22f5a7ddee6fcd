"""Random crops from the corpus cache that `models/data/fetch.py` writes."""
import json
from pathlib import Path

import numpy as np
import torch

from .room import reverberate


class Corpus:
    """Speech and music as ranges of one flat 16-bit file; recordings of one speaker lie side by side."""

    def __init__(self, folder, split="train", rate=24_000):
        folder, self.rate = Path(folder), rate
        self.samples = np.memmap(folder / "corpus.i16", "<i2", "r")
        self.rows = [r for r in json.loads((folder / "index.json").read_text()) if r["split"] == split]
        ranges = {}
        for r in self.rows:
            key = (r["kind"], r["source"], r["speaker"])
            lo, hi = ranges.get(key, (r["offset"], 0))
            ranges[key] = (min(lo, r["offset"]), r["offset"] + r["samples"])
        self.ranges = {kind: [v for k, v in ranges.items() if k[0] == kind] for kind in ("speech", "music")}
        # Square root: a speaker of two hours is heard more often than one of two minutes, but not sixty times.
        self.weights = {}
        for kind, spans in self.ranges.items():
            w = np.sqrt([hi - lo for lo, hi in spans]) if spans else np.ones(0)
            self.weights[kind] = w / w.sum() if len(w) else w

    def clip(self, row):
        """One whole recording as float32."""
        return self.samples[row["offset"]: row["offset"] + row["samples"]].astype(np.float32) / 32768

    def crop(self, rng, kind, length):
        for _ in range(20):
            lo, hi = self.ranges[kind][rng.choice(len(self.ranges[kind]), p=self.weights[kind])]
            if hi - lo <= length:
                continue
            start = rng.integers(lo, hi - length)
            x = self.samples[start: start + length].astype(np.float32) / 32768
            if np.abs(x).max() > 0.02:
                break
        return x

    def batch(self, rng, size, length):
        """[size, length]: speech at -30..0 dB of full scale, a tenth down to -65; some with noise or music, some in a room,
        some music, some tones, some silence."""
        out = np.zeros((size, length), np.float32)
        music = len(self.ranges["music"]) > 0
        for i in range(size):
            kind = rng.random()
            if 0.95 <= kind < 0.97:
                x = tones(rng, length, self.rate)
            else:
                x = self.crop(rng, "music" if music and kind < 0.05 else "speech", length)
            if 0.05 <= kind < 0.17:
                other = self.crop(rng, "music", length) if music and kind < 0.11 else coloured(rng, length)
                ratio = 10 ** (-rng.uniform(5, 25) / 20)
                x = x + other * ratio * rms(x) / (rms(other) + 1e-6)
            elif 0.17 <= kind < 0.29:
                x = reverberate(rng, x, self.rate)
            elif kind > 0.97:
                edge = rng.integers(0, length)
                x[edge:] = 0
            peak = np.abs(x).max() + 1e-6
            quietest = -65 if rng.random() < 0.1 else -30
            out[i] = x * (10 ** (rng.uniform(quietest, 0) / 20) / peak)
        return torch.from_numpy(out)


def rms(x):
    return float(np.sqrt(np.mean(x * x)))


def tones(rng, length, rate):
    """One to three steady tones: what a codec of speech plays too loud or with a hum unless it has heard them."""
    time = np.arange(length) / rate
    frequencies = np.exp(rng.uniform(np.log(50), np.log(11e3), rng.integers(1, 4)))
    x = sum(np.sin(2 * np.pi * (f * time + rng.random())) for f in frequencies)
    return x.astype(np.float32)


def coloured(rng, length):
    """Noise with a random slope between white and brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.arange(1, len(spectrum) + 1) ** -rng.uniform(0, 1)
    return np.fft.irfft(spectrum, length).astype(np.float32)
