"""Published codecs in their own implementations, with seeded weights of the released sizes.

Each module has a function that builds a codec, writes a checkpoint as its authors publish it, and gives the codes and
samples that the implementation computes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch


@dataclass
class Published:
    """What a published codec makes of some samples."""

    kind: str
    checkpoint: Path
    pcm: np.ndarray  # float32 [samples], channels interleaved
    codes: np.ndarray  # [code of a frame, frame]
    decoded: np.ndarray  # float32 [samples], channels interleaved
    stages: int | None = None  # if a stage has several codes
    encoder: "Published | None" = None  # of which a bundle is made first, for a decoder alone
    tail: tuple[int, int] = (0, 0)  # frames of codes and samples at the end that padding makes others, and that are not compared
    scales: np.ndarray | None = None  # of segments, which may be fewer than ours at the end


def noise(rate, samples, seed=1):
    """Coloured noise of about -20 dB: unlike white noise it has most of its energy where codecs hear."""
    wide = np.random.RandomState(seed).randn(samples + 8)
    smooth = np.convolve(wide, np.ones(8) / 8, "same")[:samples]
    # Its level rises and falls twice a second, as speech does.
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 2.0 * np.arange(samples) / rate)
    return (0.25 * smooth * swell).astype(np.float32)


def as_batch(pcm):
    return torch.tensor(pcm)[None, None]


def nearest(vectors, book):
    """The entry nearest to each vector: in 64 bits, since torch.cdist takes others where two are about as near."""
    book = book.double()
    return (0.5 * (book**2).sum(1) - vectors.double() @ book.T).argmin(1)


def has_tie(vectors, book):
    """Whether the two nearest entries of a vector are about equally far: within 1e-5 of the mean squared distance, which is more
    than rounding moves the latents of another processor by."""
    book, vectors = book.double(), vectors.double()
    distances = (book**2).sum(1) - 2 * vectors @ book.T + (vectors**2).sum(1, keepdim=True)
    best = distances.topk(2, dim=1, largest=False).values
    return bool(((best[:, 1] - best[:, 0]) < 1e-5 * distances.mean(1)).any())


def spread_codebooks(books, latents):
    """Sets codebooks so that each stage's entries lie where what the stages before leave does: at PyTorch's own scale all
    frames would get one code, since the latents of random weights are far from zero and differ little. A codebook is drawn
    anew where rounding would decide between two entries."""
    residual = latents.clone()
    for book in books:
        for _ in range(20):
            book.data.copy_(residual.mean(0) + torch.randn_like(book) * residual.std(0) * 0.7)
            if not has_tie(residual, book.data):
                break
        else:
            raise RuntimeError("twenty codebooks in a row have entries that rounding decides between")
        residual = residual - book.data[nearest(residual, book.data)]
