"""What is measured of a recording, one row a codec frame: log-mel levels, fundamental frequency and its phase.

Row t is centred where the codec's encoder looks for frame t: at sample t * hop + overlap / 2.
"""
import numpy as np

RATE, HOP, CENTRE = 24000, 480, 120
FFT, MELS = 1024, 64
LOWEST, HIGHEST = 65.0, 420.0


def mel_bank(mels=MELS, bins=FFT // 2 + 1, rate=RATE):
    """Triangular filters of unit sum on the mel scale (O'Shaughnessy), [mels, bins]."""
    freq = np.linspace(0, rate / 2, bins)
    edge = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), mels + 2) / 2595) - 1)
    rise = (freq[None] - edge[:-2, None]) / (edge[1:-1] - edge[:-2])[:, None]
    fall = (edge[2:, None] - freq[None]) / (edge[2:] - edge[1:-1])[:, None]
    bank = np.maximum(np.minimum(rise, fall), 0)
    narrow = np.flatnonzero(bank.sum(1) == 0)
    bank[narrow, np.abs(freq[None] - edge[1:-1][narrow, None]).argmin(1)] = 1
    return (bank / bank.sum(1, keepdims=True)).astype(np.float32)


BANK, WINDOW = mel_bank(), np.hanning(FFT + 1)[:-1].astype(np.float32)


def windows(pcm, hop, size=FFT):
    """[T, size], row t centred at t * hop + CENTRE."""
    count = len(pcm) // hop
    padded = np.pad(pcm, (size, size))
    start = np.arange(count) * hop + CENTRE - size // 2 + size
    return padded[start[:, None] + np.arange(size)[None]]


def log_mel(pcm, hop=HOP):
    """Natural logarithm of the mel power, floored 70 dB under full scale, [T, MELS]."""
    power = np.abs(np.fft.rfft(windows(pcm, hop) * WINDOW, axis=1)) ** 2 / (WINDOW ** 2).sum()
    return np.log(power @ BANK.T + 1e-7).astype(np.float32)


def fundamental(pcm):
    """Frequency in Hz [T] (0 where there is no voice) and phase in radians [T] of the fundamental.

    Autocorrelation divided by the window's own (Boersma 1993), a path of least jumps through the lags, parabolic peaks.
    """
    rows = windows(pcm, HOP) * WINDOW
    spectrum = np.abs(np.fft.rfft(rows, 2 * FFT, axis=1)) ** 2
    own = np.fft.irfft(np.abs(np.fft.rfft(WINDOW, 2 * FFT)) ** 2)
    corr = np.fft.irfft(spectrum, axis=1)
    corr = corr / (corr[:, :1] + 1e-5 * FFT / 16) / (own / own[0] + 1e-3)[None]
    lags = np.unique(np.round(RATE / np.geomspace(HIGHEST, LOWEST, 140)).astype(int))
    # Shorter lags are favoured a little: a multiple of the period correlates as well.
    score = corr[:, lags] + 0.05 * np.log2(lags[-1] / lags)[None]
    jump = 0.6 * np.abs(np.log2(lags[:, None] / lags[None]))
    best, back = score[0].copy() if len(score) else np.zeros(len(lags)), []
    for row in score[1:]:
        total = best[None] - jump
        back.append(total.argmax(1))
        best = total.max(1) + row
    path = [int(best.argmax())]
    for choice in reversed(back):
        path.append(int(choice[path[-1]]))
    lag = lags[np.array(path[::-1][:len(score)], int)]
    t = np.arange(len(score))
    a, b, c = corr[t, lag - 1], corr[t, lag], corr[t, lag + 1]
    shift = np.clip(0.5 * (a - c) / np.where(np.abs(a - 2 * b + c) < 1e-6, 1e-6, a - 2 * b + c), -1, 1)
    voiced = median(b > 0.5, 3)
    f0 = np.where(voiced, RATE / (lag + shift), 0).astype(np.float32)
    turn = np.exp(-2j * np.pi * np.where(voiced, f0, 100)[:, None] / RATE * (np.arange(FFT) - FFT // 2)[None])
    return f0, np.angle((rows * turn).sum(1)).astype(np.float32)


def median(flags, size):
    padded = np.pad(flags.astype(np.int32), size // 2)
    return np.stack([padded[i:i + len(flags)] for i in range(size)]).sum(0) > size // 2


def cepstra(pcm, hop=HOP // 2, count=13):
    """Mel cepstra and their slopes at 100 Hz for the alignment, [T, 2 * count]."""
    mel = log_mel(pcm, hop)
    basis = np.cos(np.pi / MELS * (np.arange(MELS) + 0.5)[:, None] * np.arange(count)[None])
    c = mel @ basis / np.sqrt(MELS / 2)
    padded = np.pad(c, ((2, 2), (0, 0)), mode="edge")
    return np.concatenate([c, (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 3], 1).astype(np.float32)
