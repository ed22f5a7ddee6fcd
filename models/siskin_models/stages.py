"""How many stages of codes the frames of a crop hold in training: those of the rates that are used."""
import numpy as np
import torch


def draw_stages(rng, pcm, frames, stages, mixed=0.0):
    """Stages of each frame [B, frames] of crops pcm [B, samples]: the default rate and the whole most often, all frames alike;
    a share `mixed` of the crops as `variable_stages` has it."""
    often, size = np.array([stages, stages * 2 // 3, stages * 2 // 3, stages // 3]), len(pcm)
    n = np.where(rng.random(size) < 0.8, rng.choice(often, size), rng.integers(1, stages, size))
    n = np.repeat(n[:, None], frames, 1)
    for i in np.flatnonzero(rng.random(size) < mixed):
        n[i] = variable_stages(rng, pcm[i], frames, stages)
    return n


def variable_stages(rng, pcm, frames, stages):
    """Stages of each frame [frames] as the average-rate mode gives them: as many as remove more than a threshold of error,
    weighted by the frame's loudness (codec-core/siskin-audio/src/rate.rs), for some average from 1.5 stages on."""
    loudness = 0.3 * np.log(np.square(pcm.reshape(frames, -1)).mean(1) + 1e-9)
    # What a stage removes on average of unseen speakers (docs/training.md), about.
    gains = np.log([0.45, *(0.16 * 0.7 ** np.arange(stages - 1))])
    worth = loudness[:, None] + gains + rng.normal(0, 0.2, (frames, 1))
    threshold = np.quantile(worth, 1 - rng.uniform(1.5, stages - 0.5) / stages)
    return np.maximum((worth >= threshold).sum(1), 1)


def sum_stages(codes, books, counts):
    """codes [B, T, stages * groups], books [stages, groups, size, D / groups], counts [B, T] -> latents [B, T, D]."""
    groups = books.shape[1]
    parts = torch.zeros(*codes.shape[:2], groups, books.shape[3])
    for s in range(int(counts.max())):
        live = torch.from_numpy(counts > s).float()[..., None]
        for g in range(groups):
            parts[:, :, g] += books[s, g][codes[..., s * groups + g]] * live
    return parts.flatten(2)
