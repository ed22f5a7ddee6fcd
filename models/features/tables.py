"""Count the contexts in which latents are coded (`docs/features.md`, Latents): the probabilities that packets begin with.

The classes are those of codec-core/siskin-features; a test compares the bits that they give with the packets of `siskin`.
"""
import numpy as np

CLASSES, COUNTS, SIGNS, MAGNITUDES, BLOCK_FLAGS = 6, 4, 3, 8, 8


def shifted(y, dx, dy):
    """What lies dx columns to the right and dy rows below (both may be negative), zeros outside; y is [h, w, c]."""
    out = np.zeros_like(y)
    h, w = y.shape[:2]
    rows, columns = (max(0, -dy), min(h, h - dy)), (max(0, -dx), min(w, w - dx))
    out[rows[0]: rows[1], columns[0]: columns[1]] = y[rows[0] + dy: rows[1] + dy, columns[0] + dx: columns[1] + dx]
    return out


def decisions(y):
    """All decisions of a frame of integer latents [h, w, c]: pairs of arrays (index of the context, yes or no)."""
    channels = y.shape[2]
    left, above, near = shifted(y, -1, 0), shifted(y, 0, -1), [shifted(y, -1, -1), shifted(y, 1, -1)]
    total = 2 * (abs(left) + abs(above)) + abs(near[0]) + abs(near[1])
    classes = np.digitize(total, [1, 3, 5, 9, 17])
    some = (y != 0).any(2)
    flag = some[..., None]
    around = shifted(flag, -1, 0) + 2 * shifted(flag, 0, -1).astype(int) + 4 * shifted(flag, 1, -1).astype(int)
    out = [(around[..., 0], some)]
    # What follows is coded for blocks with latents alone.
    y, classes, left, above = y[some], classes[some], left[some], above[some]
    before = np.cumsum(y != 0, 1) - (y != 0)
    count = np.digitize(before, [1, 3, 7])
    channel = np.arange(channels)[None]
    start = BLOCK_FLAGS
    out.append((start + (channel * CLASSES + classes) * COUNTS + count, y != 0))
    start += channels * CLASSES * COUNTS
    coded = y != 0
    sign = np.broadcast_to(channel, y.shape) * SIGNS + np.sign(left + above) + 1
    out.append((start + sign[coded], y[coded] < 0))
    start += channels * SIGNS
    place = ((np.broadcast_to(channel, y.shape) * CLASSES + classes) * MAGNITUDES)[coded]
    more = abs(y[coded]) - 1
    for k in range(MAGNITUDES):
        out.append((start + place[more >= k] + k, more[more >= k] > k))
    return out, int((more >= MAGNITUDES).sum())


def context_count(channels):
    return BLOCK_FLAGS + channels * (CLASSES * COUNTS + SIGNS + CLASSES * MAGNITUDES)


def count(frames):
    """Probabilities of a yes, u16 [contexts] of 65,536, from integer latents of frames, each [h, w, c]."""
    channels = frames[0].shape[2]
    size = context_count(channels)
    yes, all_ = np.zeros(size), np.zeros(size)
    for frame in frames:
        for index, value in decisions(frame)[0]:
            all_ += np.bincount(index.ravel(), minlength=size)
            yes += np.bincount(index.ravel(), value.ravel(), minlength=size)
    # Rare contexts lean on the mean of their kind over all channels.
    prior = np.full(size, 0.5)
    start = BLOCK_FLAGS
    for kinds in (CLASSES * COUNTS, SIGNS, CLASSES * MAGNITUDES):
        part = slice(start, start + channels * kinds)
        mean = (yes[part].reshape(channels, kinds).sum(0) + 0.5) / (all_[part].reshape(channels, kinds).sum(0) + 1)
        prior[part] = np.tile(mean, channels)
        start = part.stop
    p = (yes + 6 * prior) / (all_ + 6)
    return np.clip(np.round(p * 65536), 48, 65536 - 48).astype(np.uint16)


def bits(frame, probabilities):
    """Bits of a frame at probabilities that stay as they are; the coder's own adapt to the frame."""
    total = 0.0
    found, escapes = decisions(frame)
    for index, value in found:
        p = probabilities[index].astype(np.float64) / 65536
        total -= np.log2(np.where(value, p, 1 - p)).sum()
    return total + 3 * escapes
