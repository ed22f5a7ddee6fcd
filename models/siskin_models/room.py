"""Room responses for augmentation: the direct sound, then noise that decays exponentially (Polack's statistical model).

Polack 1988, "La transmission de l'energie sonore dans les salles": after the mixing time a response is Gaussian noise under
an exponential envelope. High frequencies die sooner, as in furnished rooms.
"""
import numpy as np
from scipy.signal import oaconvolve


def response(rng, rate, reverberation, ratio):
    """[samples]: decays by 60 dB in `reverberation` seconds (by half of that at the top of the band); energy of the direct
    sound over that of the rest: `ratio` dB. The direct sound is the first sample, 1."""
    length = max(2, int(reverberation * rate))
    time = np.arange(1, length) / rate
    dull, bright = (rng.standard_normal(length - 1) * 10 ** (-3 * time / (reverberation * share)) for share in (1, 0.5))
    # A first-order low-pass at about 1 kHz parts what decays slowly from what decays fast.
    kernel = np.exp(-2 * np.pi * 1000 / rate * np.arange(64))
    kernel /= kernel.sum()
    smooth = lambda x: oaconvolve(x, kernel)[: len(x)]  # noqa: E731
    tail = smooth(dull) + bright - smooth(bright)
    # Nothing arrives in the first milliseconds, in which no wall is reached.
    tail[: int(rng.uniform(0.001, 0.01) * rate)] = 0
    tail *= np.sqrt(10 ** (-ratio / 10) / (np.sum(tail * tail) + 1e-12))
    return np.concatenate([[1.0], tail]).astype(np.float32)


def reverberate(rng, x, rate):
    """`x` [samples] in a random room: 0.15 to 0.8 s of reverberation, 0 to 15 dB of direct over reverberant sound."""
    room = response(rng, rate, rng.uniform(0.15, 0.8), rng.uniform(0, 15))
    return oaconvolve(x, room)[: len(x)].astype(np.float32)
