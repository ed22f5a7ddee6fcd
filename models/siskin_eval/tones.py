"""Steady tones through a codec: how loud each comes back, and how far what was added lies below it."""
import numpy as np

from . import codecs
from .clips import RATE

FREQUENCIES = (60, 125, 250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000)
SECONDS, LEVEL = 2.0, -12.0  # dB of full scale


def tone(frequency, rate=RATE):
    """A tone of `LEVEL` with slopes of 20 ms."""
    time = np.arange(int(SECONDS * rate)) / rate
    slope = np.clip(np.minimum(time, SECONDS - time) / 0.02, 0, 1)
    return (10 ** (LEVEL / 20) * np.sin(2 * np.pi * frequency * time) * slope).astype(np.float32)


def measure(output, frequency, width=25.0, rate=RATE):
    """(dB by which the tone is too loud, dB by which all else lies below it) in the middle of the clip."""
    middle = output[int(0.5 * rate): int((SECONDS - 0.3) * rate)]
    window = np.blackman(len(middle))
    power = np.abs(np.fft.rfft(middle * window)) ** 2 / (window @ window) * 2 / len(middle)
    near = np.abs(np.arange(len(power)) * rate / len(middle) - frequency) <= width
    kept, rest = power[near].sum(), power[~near].sum()
    wanted = 10 ** (LEVEL / 10) / 2
    return 10 * np.log10((kept + 1e-12) / wanted), 10 * np.log10((kept + 1e-12) / (rest + 1e-12))


def cell(output, frequency, rate=RATE):
    level, above = measure(output, frequency, rate=rate)
    return f"{level:+.1f} / {above:.0f}"


def rows(subjects):
    """One row a frequency: {"hz": ..., codec's label: "level / noise below"}."""
    out = [{"hz": str(f)} for f in FREQUENCIES]
    for codec in subjects:
        for row, frequency in zip(out, FREQUENCIES):
            _, decoded = codecs.code(codec, tone(frequency), [None])
            row[codec.label] = cell(decoded[None][0], frequency)
    return out
