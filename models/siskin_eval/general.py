"""Measures of music and sounds in stereo at 48 kHz, and the clips that they are taken on."""
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from . import spectral
from .metrics import mel_distance

RATE = 48000
CENTRES = 1000 * 2 ** (np.arange(-11, 13) / 3)  # third octaves, 79 Hz to 16 kHz


def clips(folder, sources, seconds):
    """Named clips [2, samples] of the cache's test split: of each music a part from its middle, of sounds those that follow each
    other."""
    folder, length = Path(folder), int(seconds * RATE)
    samples = np.memmap(folder / "corpus.i16", "<i2", "r").reshape(-1, 2)
    rows = [r for r in json.loads((folder / "index.json").read_text()) if r["split"] == "test" and r["source"] in sources]
    found, sounds = [], {}
    for row in rows:
        part = samples[row["offset"]: row["offset"] + row["samples"]].astype(np.float32).T / 32768
        if row["kind"] == "music" and part.shape[1] >= length:
            start = (part.shape[1] - length) // 2
            found.append((f"{row['source']}/{row['file']}", part[:, start: start + length]))
        elif row["kind"] == "sound":
            sounds.setdefault(row["source"], []).append(part)
    for source, parts in sorted(sounds.items()):
        joined = np.concatenate(parts, 1)
        for i in range(min(4, joined.shape[1] // length)):
            found.append((f"{source}/{i}", joined[:, i * length: (i + 1) * length]))
    return [(name, clip) for name, clip in found if np.abs(clip).max() > 0.01]


@lru_cache
def judge():
    from visqol import VisqolApi
    made = VisqolApi()
    made.create(mode="audio")
    return made


def visqol(reference, output):
    """ViSQOL v3 in audio mode, of the mean of the channels."""
    a, b = (x.mean(0).astype(np.float64) for x in (reference, output))
    return float(judge().measure_from_arrays(a, b, RATE).moslqo)


def spectra(x, size, hop):
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1])) ** 2


def each(measure):
    """The mean of a measure over the channels."""
    return lambda a, b: float(np.nanmean([measure(x, y) for x, y in zip(a, b)]))


def side(a, b):
    """By how many dB the side comes back too loud; not a number where there is none."""
    wanted, got = (x[0] - x[1] for x in (a, b))
    power = np.mean(wanted ** 2)
    if power < 1e-3 * np.mean((a[0] + a[1]) ** 2) + 1e-9:
        return np.nan
    return float(10 * np.log10((np.mean(got ** 2) + 1e-12) / power))


def tonality(a, b):
    """How much more the strongest bin of a band stands out from the band's mean than it did, in dB: below 0 tones became noise.
    Bands of 500 Hz from 500 Hz to 6 kHz, frames of 85 ms, those that are not softer than the clip by 30 dB."""
    x, y = (spectra(v.mean(0), 4096, 2048) for v in (a, b))
    bands = [slice(int(f * 4096 / RATE), int((f + 500) * 4096 / RATE)) for f in range(500, 6000, 500)]
    found = []
    for s in bands:
        p, q = x[:, s], y[:, s]
        loud = p.sum(1) > 1e-3 * p.sum(1).mean()
        crest = lambda v: 10 * np.log10((v.max(1) + 1e-6) / (v.mean(1) + 1e-6))
        found.append(np.mean((crest(q) - crest(p))[loud]))
    return float(np.mean(found))


def attacks(a, b):
    """Level in dB, against the original's, of the 10 ms after its sharpest attacks."""
    return onsets(a, b)[0]


def before(a, b):
    """Level in dB of the 10 ms before the sharpest attacks against the original's: above 0 is pre-echo."""
    return onsets(a, b)[1]


def onsets(a, b, step=480):
    x, y = (v.mean(0) for v in (a, b))
    power = lambda v: np.diff(v, prepend=v[:1])[: len(v) // step * step].reshape(-1, step).__pow__(2).mean(1)
    p, q = power(x) + 1e-10, power(y) + 1e-10
    rise = 10 * np.log10(p[2:-1] / p[1:-2])
    places = [i + 2 for i in np.argsort(rise)[::-1][:12] if rise[i] > 15 and p[i + 2] > 0.1 * p.mean()]
    if not places:
        return np.nan, np.nan
    return (float(np.mean([10 * np.log10(q[i] / p[i]) for i in places])),
            float(np.mean([10 * np.log10((q[i - 1] + 1e-8) / (p[i - 1] + 1e-8)) for i in places])))


SAMPLING = {"rate": RATE, "centres": CENTRES}
MEASURES = {
    "ViSQOL": visqol, "mel distance *": each(lambda x, y: mel_distance(x, y, RATE, 2048, 512)),
    "third octaves dB *": each(lambda x, y: spectral.level_error(x, y, **SAMPLING)),
    "4-8 kHz dB": each(spectral.band_level(4000, 8000, **SAMPLING)),
    "8-16 kHz dB": each(spectral.band_level(8000, 16000, **SAMPLING)),
    "side dB": side, "tonality dB": tonality, "attacks dB": attacks, "before attacks dB": before,
}
