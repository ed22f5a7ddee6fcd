"""Judges of timbre that no loss contains in this form: levels of third octaves, and how harmonic voiced speech is in bands.

The pitch and which frames are voiced come from the recording, never from what is judged.
"""
from functools import lru_cache

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

RATE = 24000
CENTRES = 1000 * 2 ** (np.arange(-11, 11) / 3)  # 79 Hz to 10.1 kHz (IEC 61260)
# Where overtones are judged, in Hz.
HARMONIC = ((500, 1000), (1000, 2000), (2000, 3000), (3000, 5000))
LOW, HIGH = 60, 500      # pitches that are looked for
VOICED = 0.75            # autocorrelation from which a frame counts as voiced
LIMITS = (-10.0, 25.0)   # dB between which harmonic-to-noise ratios are told apart


def third_octaves(pcm, size=4096, rate=RATE, centres=CENTRES):
    """Mean power of each third octave [bands]; bins at an edge count in parts."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(pcm, (0, max(0, size - len(pcm)))), size)[:: size // 2]
    window = np.hanning(size + 1)[:-1]
    power = (np.abs(np.fft.rfft(frames * window)) ** 2).mean(0) / (window @ window)
    width = rate / size
    freq = np.arange(len(power)) * width
    upper = np.minimum(freq + width / 2, centres[:, None] * 2 ** (1 / 6))
    lower = np.maximum(freq - width / 2, centres[:, None] * 2 ** (-1 / 6))
    return np.clip((upper - lower) / width, 0, None) @ power


def level_differences(reference, output, **sampling):
    """dB by which each third octave of the output is too loud; nan where the recording has nothing (70 dB below its whole).
    `sampling` is as `third_octaves` has it."""
    wanted, got = third_octaves(reference, **sampling), third_octaves(output, **sampling)
    heard = wanted > 1e-7 * wanted.sum()
    return np.where(heard, 10 * np.log10((got + 1e-12) / (wanted + 1e-12)), np.nan)


@lru_cache(maxsize=4)
def all_octaves(reference, output):
    return level_differences(np.frombuffer(reference, np.float32), np.frombuffer(output, np.float32))


def one_octave(reference, output, at):
    """dB by which third octave number `at` is too loud; nan as in `level_differences`."""
    return float(all_octaves(*(np.ascontiguousarray(x, np.float32).tobytes() for x in (reference, output)))[at])


def level_error(reference, output, **sampling):
    """Mean absolute difference of the levels in third octaves, dB."""
    return float(np.nanmean(np.abs(level_differences(reference, output, **sampling))))


def band_level(low, high, centres=CENTRES, **sampling):
    """Metric: dB by which the band is too loud."""
    inside = (centres >= low) & (centres < high)

    def score(reference, output):
        wanted, got = (third_octaves(x, centres=centres, **sampling)[inside].sum() for x in (reference, output))
        return float(10 * np.log10((got + 1e-12) / (wanted + 1e-12)))

    return score


@lru_cache(maxsize=512)
def voiced(data, size=960, hop=480):
    """[(start, period in samples)] of the voiced frames of float32 samples at 24 kHz given as bytes."""
    pcm = np.frombuffer(data, np.float32).astype(np.float64)
    low = sosfiltfilt(butter(4, 900, fs=RATE, output="sos"), pcm) if len(pcm) > 100 else pcm
    lags = np.arange(RATE // HIGH, RATE // LOW)
    span = size + lags[-1]
    floor, found = 1e-3 * np.max(low ** 2, initial=0), []
    for start in range(0, len(low) - span, hop):
        frame = low[start: start + span]
        power = frame[:size] @ frame[:size]
        if power / size < floor:
            continue
        moving = np.cumsum(np.concatenate([[0], frame ** 2]))
        energy = moving[lags + size] - moving[lags]
        like = np.correlate(frame, frame[:size], "valid")[lags] / np.sqrt(power * energy + 1e-12)
        best = like.max()
        # The shortest period that is nearly as good: its multiples are periods too.
        peaks = np.flatnonzero((like[1:-1] >= like[:-2]) & (like[1:-1] >= like[2:]) & (like[1:-1] > 0.9 * best)) + 1
        if best > VOICED and len(peaks):
            found.append((start, int(lags[peaks[0]])))
    return tuple(found)


def pitch(pcm):
    """Median pitch in Hz of a recording; nan without voiced frames."""
    periods = [p for _, p in voiced(np.ascontiguousarray(pcm, np.float32).tobytes())]
    return RATE / float(np.median(periods)) if periods else float("nan")


def harmonicity(pcm, frames, low, high):
    """Harmonic-to-noise ratio in dB of a band in each of the frames, from the likeness of neighbouring periods."""
    return ratios(np.ascontiguousarray(pcm, np.float32).tobytes(), tuple(frames), low, high)


@lru_cache(maxsize=64)
def ratios(data, frames, low, high, size=960, up=2):
    pcm = np.frombuffer(data, np.float32).astype(np.float64)
    band = sosfiltfilt(butter(4, (low, high), "band", fs=RATE, output="sos"), pcm)
    band = resample_poly(band, up, 1)
    out = []
    for start, period in frames:
        near = np.arange(int(up * period * 0.97), int(up * period * 1.03) + 2)
        frame = band[up * start: up * (start + size) + near[-1]]
        if len(frame) < up * size + near[-1]:
            frame = np.pad(frame, (0, up * size + near[-1] - len(frame)))
        first = frame[: up * size]
        moving = np.cumsum(np.concatenate([[0], frame ** 2]))
        energy = moving[near + up * size] - moving[near]
        like = np.correlate(frame[near[0]:], first, "valid")[: len(near)] / np.sqrt((first @ first) * energy + 1e-20)
        r = np.clip(like.max(), 1e-3, 1 - 1e-4)
        out.append(10 * np.log10(r / (1 - r)))
    return np.clip(out, *LIMITS)


def harmonicity_difference(low, high):
    """Metric: mean dB by which voiced frames are more harmonic in a band than the recording (negative: hoarse)."""
    def score(reference, output):
        frames = voiced(np.ascontiguousarray(reference, np.float32).tobytes())
        if not frames:
            return np.nan
        return float(np.mean(harmonicity(output, frames, low, high) - harmonicity(reference, frames, low, high)))

    return score


def harmonicity_error_in(low, high):
    """Metric: mean absolute difference of the harmonic-to-noise ratios of voiced frames in a band, dB."""
    def score(reference, output):
        frames = voiced(np.ascontiguousarray(reference, np.float32).tobytes())
        if not frames:
            return np.nan
        return float(np.mean(np.abs(harmonicity(output, frames, low, high) - harmonicity(reference, frames, low, high))))

    return score


def harmonicity_error(reference, output):
    """The same over the bands of `HARMONIC`."""
    return float(np.mean([harmonicity_error_in(*band)(reference, output) for band in HARMONIC]))
