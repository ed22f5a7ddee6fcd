"""How pictures lie in tensors, and the cosine transform from which training starts.

A picture is 4:2:0 with values in -0.5 to 0.5. At an eighth of its size it has 96 channels, `4 k + quadrant`: quadrant
(top left, top right, bottom left, bottom right) of the 8x8 block, and in it k counts 16 luma samples row by row, then
4 of U and 4 of V. `pixel_shuffle(2)` so gives 24 channels at a quarter of the size.
"""
import math

import torch
import torch.nn.functional as F

BLOCK, CHANNELS = 8, 96
# What an error of Y, U and V (a chroma sample counts four times: it covers four pixels) does to the mean over R, G, B.
WEIGHTS = (1.355, 1.407, 1.069)


def join(planes):
    """Y [B,1,H,W], U and V [B,1,H/2,W/2] -> [B,24,H/4,W/4]."""
    y, u, v = planes
    return torch.cat([F.pixel_unshuffle(y, 4), F.pixel_unshuffle(u, 2), F.pixel_unshuffle(v, 2)], 1)


def split(quarter):
    """The inverse of `join`."""
    return F.pixel_shuffle(quarter[:, :16], 4), F.pixel_shuffle(quarter[:, 16:20], 2), F.pixel_shuffle(quarter[:, 20:], 2)


def pack(quarter):
    return F.pixel_unshuffle(quarter, 2)


def unpack(eighth):
    return F.pixel_shuffle(eighth, 2)


def cosines(n):
    rows = [[(math.sqrt(1 / n) if k == 0 else math.sqrt(2 / n)) * math.cos(math.pi * (i + 0.5) * k / n) for i in range(n)]
            for k in range(n)]
    return torch.tensor(rows)


def order(n):
    """Frequencies of an n x n transform from low to high."""
    return sorted(((u, v) for u in range(n) for v in range(n)), key=lambda f: (f[0] + f[1], max(f), f))


def transform():
    """[96, 96]: coefficients (64 of Y, then U and V in turn, each from low to high) of a packed block, orthonormal but
    for chroma, which is doubled since its errors weigh about four times as much."""
    place = torch.arange(CHANNELS, dtype=torch.float32)[None, :, None, None]
    y, u, v = (plane[0, 0].long() for plane in split(unpack(place)))
    out = torch.zeros(CHANNELS, CHANNELS)
    c8, c4 = cosines(8), cosines(4)
    for row, (a, b) in enumerate(order(8)):
        out[row, y.ravel()] = torch.outer(c8[a], c8[b]).ravel()
    for row, (a, b) in enumerate(order(4)):
        out[64 + 2 * row, u.ravel()] = 2 * torch.outer(c4[a], c4[b]).ravel()
        out[65 + 2 * row, v.ravel()] = 2 * torch.outer(c4[a], c4[b]).ravel()
    return out


def warp(planes, motion):
    """Moves the frame before: motion [B, H/8, W/8, 2] (x, y) in luma samples, one vector a block."""
    out = []
    for plane, scale in zip(planes, (1, 2, 2)):
        height, width = plane.shape[2:]
        field = motion.repeat_interleave(BLOCK // scale, 1).repeat_interleave(BLOCK // scale, 2) / scale
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x = (columns + field[..., 0]) * 2 / (width - 1) - 1
        y = (rows + field[..., 1]) * 2 / (height - 1) - 1
        mode = "bicubic" if scale == 1 else "bilinear"
        out.append(F.grid_sample(plane, torch.stack([x, y], -1), mode, "border", align_corners=True))
    return out


def squared_error(a, b):
    """Mean squared error a sequence over R, G and B, in 8-bit units, from packed 4:2:0 at a quarter: [B]."""
    e = (255 * (a - b)) ** 2
    return sum(w * part.mean((1, 2, 3)) for w, part in zip(WEIGHTS, (e[:, :16], e[:, 16:20], e[:, 20:])))
