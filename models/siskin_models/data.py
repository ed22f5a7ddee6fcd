"""Random crops from the corpus cache that `models/data/fetch.py` writes."""
import json
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly

from .quantizer import nearest
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
        x = None
        for _ in range(20):
            lo, hi = self.ranges[kind][rng.choice(len(self.ranges[kind]), p=self.weights[kind])]
            if hi - lo <= length:
                continue
            start = rng.integers(lo, hi - length)
            x = self.samples[start: start + length].astype(np.float32) / 32768
            if np.abs(x).max() > 0.02:
                break
        if x is None:
            raise ValueError(f"no stretch of {kind} with more than {length} samples was found: crops are longer than recordings")
        return x

    def raised(self, rng, length):
        """Speech, a quarter of it faster and so higher by 2 to 7 semitones: the corpus has few high voices."""
        if rng.random() > 0.25:
            return self.crop(rng, "speech", length)
        up = int(rng.integers(9, 13))
        x = resample_poly(self.crop(rng, "speech", -(-length * up // 8)), 8, up)
        return x[:length].astype(np.float32)

    def batch(self, rng, size, length, wide=False):
        """[size, length]: speech at -30..0 dB of full scale, a tenth down to -65; some with noise or music, some in a room,
        some music, some tones, some silence. With `wide`, speech of every fourth is raised in pitch, every eighth has a
        second talker, and a few more tones stand still or glide."""
        out = np.zeros((size, length), np.float32)
        music = len(self.ranges["music"]) > 0
        for i in range(size):
            kind = rng.random()
            if 0.95 <= kind < 0.97:
                x = tones(rng, length, self.rate)
            elif wide and 0.92 <= kind < 0.95:
                x = glides(rng, length, self.rate)
            elif wide and kind >= 0.05:
                x = self.raised(rng, length)
                if rng.random() < 0.125:
                    other = self.raised(rng, length)
                    x = x + other * 10 ** (-rng.uniform(0, 12) / 20) * rms(x) / (rms(other) + 1e-6)
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
    # Up to what 24 kHz holds, or the rate at hand: beyond half of it tones fold down.
    frequencies = np.exp(rng.uniform(np.log(50), np.log(min(11e3, 0.4584 * rate)), rng.integers(1, 4)))
    x = sum(np.sin(2 * np.pi * (f * time + rng.random())) for f in frequencies)
    return x.astype(np.float32)


def glides(rng, length, rate):
    """A sound of one to twelve even harmonics whose pitch glides by up to an octave, or stands."""
    time = np.linspace(0, 1, length)
    low, turn = np.exp(rng.uniform(np.log(60), np.log(1500))), rng.uniform(-1, 1) * (rng.random() < 0.7)
    phase = 2 * np.pi * np.cumsum(low * 2 ** (turn * time)) / rate
    count = max(1, min(rng.integers(1, 13), int(min(10e3, 0.417 * rate) / low / 2)))
    x = sum(np.sin(n * phase + rng.uniform(0, 6)) * n ** -rng.uniform(0, 1.5) for n in range(1, count + 1))
    return x.astype(np.float32)


def coloured(rng, length):
    """Noise with a random slope between white and brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.arange(1, len(spectrum) + 1) ** -rng.uniform(0, 1)
    return np.fft.irfft(spectrum, length).astype(np.float32)


class Bank:
    """Crops and their codes, kept so that the encoder need not run while the decoder learns: pcm i16 [n, samples], of a codec
    of two channels [n, 2, samples], codes u16 [n, frames, stages * groups]. An interrupted making goes on where it stood."""

    def __init__(self, folder, n, frames, codec, corpus, seed, progress=print):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        hop, (stages, groups) = codec.config.hop, codec.quantizer.books.shape[:2]
        channels = (2,) if codec.config.channels == 2 else ()
        shapes = {"pcm.i16": (n, *channels, frames * hop), "codes.u16": (n, frames, stages * groups)}
        spec = json.dumps({"n": n, "frames": frames, "seed": seed, "codes": stages * groups})
        note = folder / "bank.json"
        done = json.loads(note.read_text()) if note.exists() else {"spec": spec, "rows": 0}
        if done["spec"] != spec:
            raise ValueError(f"{folder} holds another bank: {done['spec']}, wanted {spec}")
        self.pcm, self.codes = (np.memmap(folder / f, "<" + f[-3] + "2", "r+" if (folder / f).exists() else "w+", shape=shape)
                                for f, shape in shapes.items())
        books = codec.quantizer.books
        for at in range(done["rows"], n, 64):
            # A seed a batch: the same bank, however often it was interrupted.
            rng, size = np.random.default_rng([seed, at]), min(64, n - at)
            pcm = corpus.batch(rng, size, frames * hop, wide=True)
            pcm = (pcm * 32767).round().clamp(-32768, 32767)
            with torch.no_grad():
                rest, codes = list(codec.encode(pcm / 32768).flatten(0, 1).chunk(groups, -1)), []
                for i, book in enumerate(books.flatten(0, 1)):
                    codes.append(nearest(rest[i % groups], book))
                    rest[i % groups] = rest[i % groups] - book[codes[-1]]
                codes = torch.stack(codes, 1).reshape(size, frames, -1)
            self.pcm[at: at + size], self.codes[at: at + size] = pcm.numpy(), codes.numpy()
            note.write_text(json.dumps({"spec": spec, "rows": at + size}))
            if at % 3200 == 0:
                progress(f"bank {at + size}/{n}")

    def batch(self, rng, size):
        """pcm [size, samples] or [size, 2, samples], codes [size, frames, stages * groups]"""
        rows = np.sort(rng.choice(len(self.pcm), size, replace=False))
        return (torch.from_numpy(self.pcm[rows].astype(np.float32) / 32768),
                torch.from_numpy(self.codes[rows].astype(np.int64)))
