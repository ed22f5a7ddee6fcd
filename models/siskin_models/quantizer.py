"""Residual vector quantizer with k-means start, moving-average codebooks and revival of dead entries.

RVQ: SoundStream (Zeghidour et al. 2021); moving averages: VQ-VAE (van den Oord et al. 2017, appendix A).
Latents [N, D] or [B, T, D], codes [..., stages], codebooks [stages, size, D].
"""
import torch
import torch.nn as nn


def nearest(x, book):
    """Index of the closest entry (squared Euclidean) for each row of x [N, D]."""
    half = 0.5 * book.pow(2).sum(1)
    # In pieces whose distances fit the cache: several times faster on a CPU than one tall matrix.
    return torch.cat([torch.addmm(half, part, book.t(), alpha=-1).argmin(1) for part in x.split(512)])


class ResidualQuantizer(nn.Module):
    def __init__(self, dim, stages=18, size=1024, decay=0.99):
        super().__init__()
        self.stages, self.size, self.decay = stages, size, decay
        self.register_buffer("books", torch.zeros(stages, size, dim))
        self.register_buffer("count", torch.ones(stages, size))
        self.register_buffer("total", torch.zeros(stages, size, dim))

    @torch.no_grad()
    def fit(self, latents, rounds=8, start=None):
        """K-means stage after stage on the residuals of [N, D] latents, N >> size; from `start` codebooks if given."""
        residual = latents
        for s in range(self.stages):
            book = start[s] if start is not None else residual[torch.randperm(len(residual))[: self.size]].clone()
            for _ in range(rounds):
                index = nearest(residual, book)
                count = torch.bincount(index, minlength=self.size).float()
                total = torch.zeros_like(book).index_add_(0, index, residual)
                book = torch.where(count[:, None] > 0, total / count[:, None].clamp(min=1), book)
                dead = (count == 0).nonzero()[:, 0]
                book[dead] = residual[torch.randint(len(residual), (len(dead),))]
            self.books[s] = book
            index = nearest(residual, book)
            # The moving averages start as if one batch of `size` vectors had been seen.
            count = torch.bincount(index, minlength=self.size).float() * (self.size / len(residual))
            self.count[s] = count
            self.total[s] = book * count[:, None]
            residual = residual - book[index]

    def forward(self, z, prefix=None):
        """Quantise z [B, T, D]; item b keeps `prefix[b]` stages. -> decoded, commitment
        loss, share of live entries a stage, what all stages leave of the variance."""
        b, t, d = z.shape
        residual = z.detach().reshape(-1, d)
        source = residual
        keep = torch.full((b,), self.stages, device=z.device) if prefix is None else prefix
        keep = keep.repeat_interleave(t)
        decoded = torch.zeros_like(residual)
        used = []
        for s in range(self.stages):
            index = nearest(residual, self.books[s])
            entry = self.books[s][index]
            if self.training:
                used.append(self.learn(s, index, residual))
            decoded = decoded + entry * (keep > s)[:, None]
            residual = residual - entry
        decoded = decoded.reshape(b, t, d)
        commit = (z - decoded).pow(2).mean()
        return z + (decoded - z).detach(), commit, used, residual.pow(2).mean() / source.var(0).mean()

    @torch.no_grad()
    def learn(self, s, index, residual):
        """Moving averages of counts and sums; entries that fewer than .05 vectors a batch choose start anew."""
        batch = torch.bincount(index, minlength=self.size).float()
        total = torch.zeros_like(self.total[s]).index_add_(0, index, residual)
        self.count[s].mul_(self.decay).add_(batch, alpha=1 - self.decay)
        self.total[s].mul_(self.decay).add_(total, alpha=1 - self.decay)
        dead = (self.count[s] < 0.05 * len(residual) / self.size).nonzero()[:, 0]
        if len(dead):
            fresh = residual[torch.randint(len(residual), (len(dead),), device=residual.device)]
            self.count[s][dead] = 0.5 * len(residual) / self.size
            self.total[s][dead] = fresh * self.count[s][dead][:, None]
        # Not in place: the gathered entries of this pass may still be in the graph.
        self.books[s] = self.total[s] / self.count[s].clamp(min=1e-6)[:, None]
        return 1 - len(dead) / self.size

    def rounded(self):
        """The codebooks as the bundle stores them (16-bit floats)."""
        return self.books.half().float()


@torch.no_grad()
def encode(latents, books):
    """Greedy search as every Siskin decoder expects it: latents [T, D] -> codes [T, stages]."""
    residual, codes = latents, []
    for book in books:
        distance = torch.cdist(residual[None], book[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
        codes.append(distance.argmin(1))
        residual = residual - book[codes[-1]]
    return torch.stack(codes, 1)


def decode(codes, books, stages):
    """Sum of the chosen entries of the first `stages` stages: codes [T, stages] -> latents [T, D]."""
    return sum(books[s][codes[:, s]] for s in range(stages))
