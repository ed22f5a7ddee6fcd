"""Residual vector quantizers with k-means start, moving-average codebooks and revival of dead entries.

RVQ: SoundStream (Zeghidour et al. 2021); groups: HiFi-Codec (Yang et al. 2023, arXiv 2305.02765, 3.2); moving
averages: VQ-VAE (van den Oord et al. 2017, appendix A). Latents [N, D] or [B, T, D], codes [..., stages * groups]
(stage-major), codebooks [stages, groups, size, D / groups].
"""
import torch
import torch.nn as nn


def nearest(x, book):
    """Index of the closest entry (squared Euclidean) for each row of x [N, D]."""
    # A column of ones takes the entries' norms along: added after the product they cost as much as the product.
    book = torch.cat([book, -0.5 * book.pow(2).sum(1, keepdim=True)], 1).t()
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    # NumPy's argmax is 13 times faster on a CPU than PyTorch's.
    most = (lambda d: torch.from_numpy(d.detach().numpy().argmax(1))) if x.device.type == "cpu" else (lambda d: d.argmax(1))
    # In pieces whose distances fit the cache: several times faster on a CPU than one tall matrix.
    return torch.cat([most(part @ book) for part in x.split(512)])


class ResidualQuantizer(nn.Module):
    """The residual stages of one group; `books` [stages, size, D]."""

    def __init__(self, dim, stages=18, size=1024, decay=0.99):
        super().__init__()
        self.stages, self.size, self.decay = stages, size, decay
        # Whether stages see only the frames that keep them: with many stages half the time, and with few all frames teach all.
        self.lean = False
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
        """Quantise z [B, T, D]; frame t of item b keeps `prefix[b, t]` stages, or `prefix[b]` as all of that item. -> decoded,
        commitment loss, share of live entries a stage, what all stages leave of the variance."""
        b, t, d = z.shape
        source = z.detach().reshape(-1, d)
        residual = source.clone()
        keep = torch.full((b,), self.stages, device=z.device) if prefix is None else prefix
        keep = (keep if keep.dim() == 2 else keep[:, None].expand(b, t)).flatten()
        decoded = torch.zeros_like(residual)
        used = []
        for s in range(self.stages):
            live = (keep > s).nonzero()[:, 0] if self.lean else slice(None)
            part = residual[live]
            if not len(part):
                break
            index = nearest(part, self.books[s])
            entry = self.books[s][index]
            if self.training:
                used.append(self.learn(s, index, part))
            decoded[live] += entry if self.lean else entry * (keep > s)[:, None]
            residual[live] = part - entry
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


class GroupResidualQuantizer(nn.Module):
    """One residual quantizer for each of `groups` equal parts of the latent; one group is plain RVQ."""

    def __init__(self, dim, groups=1, stages=18, size=1024):
        super().__init__()
        self.stages, self.size = stages, size
        self.groups = nn.ModuleList(ResidualQuantizer(dim // groups, stages, size) for _ in range(groups))

    @property
    def books(self):
        """[stages, groups, size, D / groups]"""
        return torch.stack([g.books for g in self.groups], 1)

    @torch.no_grad()
    def keep_stages(self, count):
        """Forgets the stages from `count` on."""
        self.stages = count
        for group in self.groups:
            group.stages, group.books = count, group.books[:count].clone()
            group.count, group.total = group.count[:count].clone(), group.total[:count].clone()

    @torch.no_grad()
    def set_books(self, books):
        for group, mine in zip(self.groups, books.unbind(1)):
            group.books.copy_(mine)
            # As if every entry had been chosen once in an average batch.
            group.count.fill_(1)
            group.total.copy_(mine)

    def fit(self, latents, rounds=8, start=None):
        parts = latents.chunk(len(self.groups), -1)
        for i, (group, part) in enumerate(zip(self.groups, parts)):
            group.fit(part, rounds, None if start is None else start[:, i])

    def forward(self, z, prefix=None):
        """As `ResidualQuantizer.forward`, over all groups."""
        parts = z.chunk(len(self.groups), -1)
        decoded, commit, used, rest = zip(*(g(p, prefix) for g, p in zip(self.groups, parts)))
        return torch.cat(decoded, -1), sum(commit) / len(parts), sum(used, []), sum(rest) / len(parts)


@torch.no_grad()
def balanced_rotation(latents, groups):
    """Rotation [D, D] after which the groups are uncorrelated and hold alike shares of the variance of [N, D]."""
    values, axes = torch.linalg.eigh(torch.cov(latents.T))
    order = values.argsort(descending=True)
    # There and back again: each group gets one of the strongest axes, then one of the weakest of the next row.
    turns = [i if row % 2 == 0 else groups - 1 - i for row in range(len(order) // groups) for i in range(groups)]
    chosen = [o for g in range(groups) for o, turn in zip(order.tolist(), turns) if turn == g]
    return axes[:, chosen].T


@torch.no_grad()
def encode(latents, books):
    """Greedy search as every Siskin decoder expects it: latents [T, D] -> codes [T, stages * groups], stage-major."""
    stages, groups = books.shape[:2]
    residual, codes = list(latents.chunk(groups, -1)), []
    for book in books.flatten(0, 1):
        group = len(codes) % groups
        distance = torch.cdist(residual[group][None], book[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
        codes.append(distance.argmin(1))
        residual[group] = residual[group] - book[codes[-1]]
    return torch.stack(codes, 1)


def decode(codes, books, stages):
    """Sum of the chosen entries of the first `stages` stages: codes [T, stages * groups] -> latents [T, D]."""
    groups = books.shape[1]
    return torch.cat([sum(books[s, g][codes[:, s * groups + g]] for s in range(stages)) for g in range(groups)], -1)
