"""The linear part of `Acoustic` by least squares: every sound's mean and course between its neighbours."""
import numpy as np
import torch
from data import features, ids
from model import BASIS, FEATURES, WINDOW, basis, neighbours

RIDGE = 2.0
# The voicing is a logit: certain by this much.
CERTAIN = 3.0


def normal_equations(columns, values, targets, size):
    """Sparse rows: `columns` and `values` [rows, k], targets [rows, F] -> X'X [size, size], X'Y [size, F]."""
    square, product = np.zeros(size * size), np.zeros((size, targets.shape[1]))
    for i in range(columns.shape[1]):
        for j in range(columns.shape[1]):
            place = columns[:, i].astype(np.int64) * size + columns[:, j]
            square += np.bincount(place, values[:, i] * values[:, j], size * size)
        for f in range(targets.shape[1]):
            product[:, f] += np.bincount(columns[:, i], values[:, i] * targets[:, f], size)
    return square.reshape(size, size), product


def solve(columns, values, targets, size):
    square, product = normal_equations(columns, values, targets, size)
    return np.linalg.solve(square + RIDGE * np.eye(size), product).astype(np.float32)


def least_squares(net, speech):
    """Sets `linear`, `linear_speaker` and `linear_duration` of the network."""
    count = net.c.tokens
    rows, places, wanted, token_rows, logs = [], [], [], [], []
    for clip in speech.train:
        near = (neighbours(ids(clip["tokens"])[None])[0] + torch.arange(WINDOW) * count).numpy()
        durations = clip["durations"]
        index = np.repeat(np.arange(len(durations)), durations)
        into = (np.arange(len(index)) - np.repeat(np.cumsum(durations) - durations, durations) + 0.5) / durations[index]
        b = basis(torch.from_numpy(into)).numpy()
        # Column (token's row) * BASIS + basis, then one for the speaker.
        columns = (near[index][:, :, None] * BASIS + np.arange(BASIS)).reshape(len(index), -1)
        speaker = np.full((len(index), 1), WINDOW * count * BASIS + speech.speaker(clip))
        rows.append(np.concatenate([columns, speaker], 1).astype(np.int32))
        places.append(np.concatenate([np.tile(b, (1, WINDOW)), np.ones((len(index), 1))], 1))
        aim = features(clip).numpy()
        aim[:, -1] = (aim[:, -1] * 2 - 1) * CERTAIN
        wanted.append(aim)
        token_rows.append(near)
        logs.append(np.log(durations + 1.0))
    size = WINDOW * count * BASIS + net.c.speakers
    found = solve(np.concatenate(rows), np.concatenate(places), np.concatenate(wanted), size)
    table = found[: WINDOW * count * BASIS].reshape(WINDOW * count, BASIS * FEATURES)
    near, logs = np.concatenate(token_rows), np.concatenate(logs)[:, None]
    duration = solve(near, np.ones(near.shape), logs, WINDOW * count)
    with torch.no_grad():
        net.linear.weight.copy_(torch.from_numpy(table))
        net.linear_speaker.weight.copy_(torch.from_numpy(found[WINDOW * count * BASIS:]))
        net.linear_duration.weight.copy_(torch.from_numpy(duration))
