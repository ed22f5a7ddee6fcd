"""Monotonic alignment of phonemes with recordings, learnt from the recordings alone.

Each sound is two states with one Gaussian each over mel cepstra at 100 Hz, pauses are one optional state. From a flat
start the most probable monotonic path (the alignment search of Glow-TTS, Kim et al. 2020, arXiv 2005.11129, which is
the Viterbi path of a hidden Markov model) and the Gaussians are found in turn.
"""
import numpy as np

PAUSE = "#"


class Gaussians:
    def __init__(self, names, dim):
        self.index = {n: i for i, n in enumerate(names)}
        self.mean, self.var = np.zeros((len(names), dim)), np.ones((len(names), dim))

    def fit(self, sums, squares, counts, prior=20.0):
        seen = counts > 0
        total = squares[seen].sum(0) / counts.sum()
        self.mean[seen] = sums[seen] / counts[seen, None]
        var = squares[seen] / counts[seen, None] - self.mean[seen] ** 2
        self.var[seen] = (counts[seen, None] * var + prior * total[None]) / (counts[seen, None] + prior) + 1e-3

    def score(self, frames):
        """Log densities [T, states]."""
        inverse = 1 / self.var
        quad = frames ** 2 @ inverse.T - 2 * frames @ (self.mean * inverse).T + (self.mean ** 2 * inverse).sum(1)[None]
        return -0.5 * (quad + np.log(self.var).sum(1)[None])


def states_of(units):
    """Units [(symbol, optional)] -> state names, skippable flags, unit of each state."""
    names, skip, owner = [], [], []
    for i, (symbol, optional) in enumerate(units):
        for part in ((PAUSE,) if optional else (symbol + "0", symbol + "1")):
            names.append(part)
            skip.append(optional)
            owner.append(i)
    return names, np.array(skip), np.array(owner)


def viterbi(score, skip):
    """score [T, N], skip [N] -> state of each frame, or None if there are fewer frames than states."""
    frames, states = score.shape
    if frames < states:
        return None
    low = -1e30
    best = np.full(states, low)
    best[0] = score[0, 0]
    if skip[0] and states > 1:
        best[1] = score[0, 1]
    back = np.zeros((frames, states), np.int8)
    may_skip = np.concatenate([[False], skip[:-1]])
    for t in range(1, frames):
        step = np.concatenate([[low], best[:-1]])
        jump = np.where(may_skip, np.concatenate([[low, low], best[:-2]]), low)
        options = np.stack([best, step, jump])
        back[t] = options.argmax(0)
        best = options.max(0) + score[t]
    state = states - 1
    if skip[-1] and states > 1 and best[-2] > best[-1]:
        state -= 1
    path = np.empty(frames, int)
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state -= int(back[t, state])
    return path


def align(clips, rounds=12, say=print):
    """clips: [(frames [T, D], units)] -> for each the frames at 100 Hz of each unit, or None where it cannot be."""
    prepared = [(f, *states_of(u), len(u)) for f, u in clips]
    names = sorted({n for _, ns, *_ in prepared for n in ns})
    model = Gaussians(names, clips[0][0].shape[1])
    rows = [np.array([model.index[n] for n in ns]) for _, ns, *_ in prepared]
    everything = np.concatenate([f for f, *_ in prepared])
    shift, scale = everything.mean(0), everything.std(0) + 1e-6
    frames = [((f - shift) / scale).astype(np.float64) for f, *_ in prepared]
    paths = [flat(f, skip) for f, (_, _, skip, _, _) in zip(frames, prepared)]
    for turn in range(rounds):
        sums, squares = np.zeros_like(model.mean), np.zeros_like(model.mean)
        counts = np.zeros(len(names))
        for f, row, path in zip(frames, rows, paths):
            if path is not None:
                np.add.at(sums, row[path], f)
                np.add.at(squares, row[path], f ** 2)
                np.add.at(counts, row[path], 1)
        model.fit(sums, squares, counts)
        total, used, paths = 0.0, 0, []
        for f, row, (_, _, skip, _, _) in zip(frames, rows, prepared):
            score = model.score(f)[:, row]
            path = viterbi(score, skip)
            paths.append(path)
            if path is not None:
                total, used = total + score[np.arange(len(path)), path].sum(), used + len(path)
        say(f"alignment round {turn + 1}: {total / max(used, 1):.3f} a frame")
    return [None if p is None else np.bincount(owner[p], minlength=count)
            for p, (_, _, _, owner, count) in zip(paths, prepared)]


def flat(frames, skip):
    """The quiet start and end to the outer pauses, the rest shared out evenly."""
    count, states = len(frames), len(skip)
    if count < states:
        return None
    loud = np.flatnonzero(frames[:, 0] > np.percentile(frames[:, 0], 20))
    first, last = (loud[0], loud[-1] + 1) if len(loud) and loud[-1] - loud[0] >= states else (0, count)
    inner = np.flatnonzero(~skip)
    path = np.empty(count, int)
    path[:first], path[last:] = 0, states - 1
    path[first:last] = inner[np.minimum(np.arange(last - first) * len(inner) // (last - first), len(inner) - 1)]
    return path
