"""Fit the detector that tells speech from other sound (codec-core/siskin-audio/src/content.rs), and count how often it is right.

  python models/fit_content.py

Prints the rows of `WEIGHTS` and the bias, then shares of unseen crops of 9 s, mixed down to one channel, that come out right. The
features are those of the Rust code, which a test there holds to these within 0.01. Needs the caches of `data/fetch.py` and
`data/general.py`.
"""
import argparse
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from siskin_models.data import Corpus, coloured, rms
from siskin_models.general import GeneralCorpus
from siskin_models.room import reverberate

RATE, HOP, FRAMES, SECONDS = 24_000, 480, 150, 9
EDGES = (0, 6, 11, 18, 25, 34, 45, 58, 74, 94, 119, 151, 191, 240, 303, 382, 481)
BANDS, WIDTHS = len(EDGES) - 1, np.diff(EDGES)
LINES = slice(4, 204)
# Taken off the log-odds: speech is the costlier mistake.
MARGIN = 0.5
# Crops to fit to and to count, by kind.
COUNTS = {"speech": (900, 400), "music": (700, 300), "sound": (200, 120)}


def decibels(power):
    return 10 * np.log10(power)


def parts(pcm):
    """Features of each 3 s of samples that are not silent."""
    window = np.sin((np.arange(2 * HOP) + 0.5) * np.pi / (2 * HOP))
    frames = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(HOP), pcm]), 2 * HOP)[::HOP]
    bins = np.abs(np.fft.rfft(frames * window)) ** 2 / (2 * HOP * HOP)
    for at in range(0, len(bins) - FRAMES + 1, FRAMES):
        part = bins[at: at + FRAMES]
        bands = np.stack([part[:, a:b].mean(1) for a, b in zip(EDGES, EDGES[1:])], 1)
        if decibels((bands @ WIDTHS * 2).mean() + 1e-12) > -60:
            yield features(bands, part[:, LINES])


def features(bands, lines):
    """Of a part, in the order of `Part::features`."""
    powers = bands @ WIDTHS * 2 + 1e-10
    power, levels = powers.mean(), decibels(powers)
    level = decibels(power)
    loud = levels > level - 25
    log = decibels(bands + 1e-10 + 1e-7 * power)
    course = np.maximum(levels, level - 35)
    mean = lambda values: values.mean() if len(values) else 0.0
    change = lambda lag: mean(np.abs(log[lag:] - log[:-lag]).mean(1)[loud[lag:]])
    of = lambda a, b: bands[:, a:b] @ WIDTHS[a:b]
    whole = of(0, BANDS).sum()
    share = lambda a, b: decibels((of(a, b).sum() + 1e-9 * whole + 1e-12) / (whole + 1e-12))
    balance = decibels((of(10, BANDS) + 1e-12) / (of(2, 8) + 1e-12))[loud]

    raised = decibels(lines + 1e-11 + 1e-8 * power)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(raised, ((0, 0), (8, 8)), mode="edge"), 17, axis=1).mean(2)
    raised = np.clip(raised - around, -10, 20)
    raised -= raised.mean(1, keepdims=True)
    norms = np.sqrt((raised ** 2).sum(1)) + 1e-6

    def alike(lag):
        both = (raised[lag:] * raised[:-lag]).sum(1) / (norms[lag:] * norms[:-lag])
        return mean(both[loud[lag:] & loud[:-lag]])

    peak = mean(np.sort(raised, 1)[:, -8:].mean(1)[loud])
    moves = np.abs(np.fft.rfft((course - course.mean()) * np.hanning(len(course)))) ** 2
    rates = np.arange(len(moves)) / (len(course) * HOP / RATE)
    between = lambda low, high: moves[(rates >= low) & (rates < high)].sum() + 1
    syllables = np.log10(between(2.5, 8) / between(0.3, 25))
    return np.array([*map(alike, (2, 6, 16, 40)), peak / 10, (levels < level - 12).mean(), course.std() / 10, -syllables,
                     change(1) / 5, share(0, 1) / 10, change(8) / 10, share(12, BANDS) / 10, balance.std() / 10])


def speech(corpus, rng, count):
    """A quarter with noise, others in rooms, of telephones, of two talkers; peaks up to 25 dB apart."""
    for _ in range(count):
        x, kind = corpus.crop(rng, "speech", SECONDS * RATE), rng.random()
        if kind < 0.25:
            x = x + coloured(rng, len(x)) * 10 ** (-rng.uniform(10, 30) / 20) * rms(x)
        elif kind < 0.4:
            x = reverberate(rng, x, RATE)
        elif kind < 0.5:
            x = resample_poly(resample_poly(x, 1, 3), 3, 1)
        elif kind < 0.55:
            x = x + 0.7 * corpus.crop(rng, "speech", SECONDS * RATE)
        yield x * 10 ** (rng.uniform(-25, 0) / 20)


def general(corpus, kind, rng, count):
    rows = [r for r in corpus.spans[kind][0] if r["samples"] > 3.2 * corpus.rate]
    for _ in range(count):
        row = rows[rng.integers(len(rows))]
        length = min(row["samples"], SECONDS * corpus.rate)
        start = row["offset"] + rng.integers(0, row["samples"] - length + 1)
        x = corpus.samples[start: start + length].astype(np.float32).mean(1) / 32768
        if np.abs(x).max() > 0.003:
            yield resample_poly(x, RATE, corpus.rate)


def expand(z):
    return np.concatenate([np.ones((len(z), 1)), z, z ** 2], 1)


def fit(z, is_speech, ridge=1e-2):
    """Logistic regression by Newton's method, both kinds of the same weight."""
    a, weights = expand(z), np.zeros(1 + 2 * z.shape[1])
    each = np.where(is_speech, 0.5 / is_speech.mean(), 0.5 / (1 - is_speech.mean()))
    for _ in range(50):
        p = 1 / (1 + np.exp(-a @ weights))
        gradient = a.T @ (each * (p - is_speech)) / len(z) + ridge * weights
        hessian = (a * (each * p * (1 - p))[:, None]).T @ a / len(z) + ridge * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, gradient)
    return weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=Path(".siskin/corpus"))
    parser.add_argument("--general", type=Path, default=Path(".siskin/general"))
    args = parser.parse_args()
    rng, crops = np.random.default_rng(5), {}
    for turn, split in enumerate(("train", "test")):
        voices, others = Corpus(args.speech, split, RATE), GeneralCorpus(args.general, None, split=split)
        for kind, counts in COUNTS.items():
            source = speech(voices, rng, counts[turn]) if kind == "speech" else general(others, kind, rng, counts[turn])
            crops[split, kind] = [found for found in (list(parts(x)) for x in source) if found]
    known = {kind: np.array([f for crop in crops["train", kind] for f in crop]) for kind in COUNTS}
    x = np.concatenate(list(known.values()))
    is_speech = np.repeat([kind == "speech" for kind in COUNTS], [len(v) for v in known.values()])
    mean, deviation = x.mean(0), x.std(0)
    weights = fit((x - mean) / deviation, is_speech)
    count = len(mean)
    for row in zip(mean, deviation, weights[1: 1 + count], weights[1 + count:]):
        print("    [" + ", ".join(f"{v:.3f}" for v in row) + "],")
    print(f"bias {weights[0]:.3f} - {MARGIN}")
    right = 0
    for kind in COUNTS:
        odds = [np.mean(expand((np.array(crop) - mean) / deviation) @ weights) - MARGIN for crop in crops["test", kind]]
        hits = sum((o > 0) == (kind == "speech") for o in odds)
        right += hits
        print(f"{kind}: {hits} of {len(odds)} right")
    print(f"all: {100 * right / sum(len(crops['test', kind]) for kind in COUNTS):.1f} %")


if __name__ == "__main__":
    main()
