"""Fits the integer networks that predict codes (`docs/bitstream.md`, range coding) and counts what they cost.

A network sees the latent of the frame as far as its codes are known, and those of the frames before in the packet.
"""
import numpy as np
import torch
import torch.nn.functional as F

INPUT_MAX, HIDDEN_MAX = (1 << 13) - 1, (1 << 10) - 1
FRAMES_BEFORE = 2
PACKET_FRAMES = 50
# Logits are in 256ths of an octave.
UNITS = 256 / np.log(2)


def search(latents, books, width=4, piece=1024):
    """Beam search as the encoder's: latents [N, D], books [stages, groups, size, D / groups] -> codes [N, books]."""
    stages, groups, size, dim = books.shape
    half = 0.5 * books.square().sum(-1)
    codes = torch.zeros(len(latents), stages * groups, dtype=torch.int16)
    for start in range(0, len(latents), piece):
        for group, part in enumerate(latents[start:start + piece].split(dim, 1)):
            rest, best = part[:, None], torch.zeros(len(part), 1)
            path = torch.zeros(len(part), 1, 0, dtype=torch.int16)
            for stage in range(stages):
                score = best[..., None] + half[stage, group] - rest @ books[stage, group].T
                best, chosen = score.flatten(1).topk(min(width, score.shape[1] * size), 1, largest=False)
                beam, entry = chosen // size, chosen % size
                rest = rest.gather(1, beam[..., None].expand(-1, -1, dim)) - books[stage, group][entry]
                path = path.gather(1, beam[..., None].expand(-1, -1, stage))
                path = torch.cat([path, entry[..., None].to(torch.int16)], 2)
            codes[start:start + piece, group::groups] = path[:, 0]
    return codes


class Contexts:
    """Codes of clips [clips, frames, books] and the integer inputs that precede each of them."""

    def __init__(self, codes, entries, prefixes):
        """`entries` [stages, groups, size, dim] are integers; clip i is coded with `prefixes[i]` stages."""
        self.codes, self.entries, self.groups = codes, entries.float(), entries.shape[1]
        self.prefixes = prefixes
        self.whole = torch.stack([self.latent(c[None], int(p) * self.groups)[0] for c, p in zip(codes, prefixes)])

    def latent(self, codes, count):
        """The sum of the first `count` codes of each frame."""
        dim = self.entries.shape[-1]
        out = torch.zeros(*codes.shape[:2], self.groups * dim)
        for index in range(count):
            stage, group = divmod(index, self.groups)
            out[..., group * dim:(group + 1) * dim] += self.entries[stage, group][codes[..., index].long()]
        return out

    def of(self, index):
        """Inputs [N, D * 3] and codes [N] of codebook `index`, from the clips that have it."""
        clips = [i for i, p in enumerate(self.prefixes) if int(p) * self.groups > index]
        codes, whole = self.codes[clips], self.whole[clips]
        place = torch.arange(codes.shape[1]) % PACKET_FRAMES
        parts = [self.latent(codes, index)]
        for back in range(1, FRAMES_BEFORE + 1):
            # A packet knows nothing of the one before.
            parts.append(whole.roll(back, 1) * (place >= back)[None, :, None])
        inputs = torch.cat(parts, -1).clamp(-INPUT_MAX, INPUT_MAX)
        return inputs.flatten(0, 1), codes[..., index].flatten().long()


def fit(inputs, codes, book, hidden, steps, batch=512, rate=5e-3):
    """Weights of a network `bias + W relu(A x + a)`, W a free part and one through the codebook's own entries, so
    that entries which lie side by side are predicted alike."""
    size, dim = book.shape
    scale = inputs.std() + 1
    bias = torch.log((torch.bincount(codes, minlength=size).float() + 1) / (len(codes) + size))
    free = {
        "a": torch.randn(hidden, inputs.shape[1]) / inputs.shape[1] ** 0.5, "a0": torch.zeros(hidden),
        "b": torch.randn(dim, hidden) * 0.1 / hidden ** 0.5, "w": torch.randn(size, hidden) * 0.02, "bias": bias,
        "e": book / book.std(),
    }
    free = {k: v.clone().requires_grad_() for k, v in free.items()}
    decayed = [{"params": [free["e"], free["w"]], "weight_decay": 0.1},
               {"params": [free[k] for k in ("a", "a0", "b", "bias")], "weight_decay": 0.02}]
    optimizer = torch.optim.AdamW(decayed, rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.1)
    for _ in range(steps):
        chosen = torch.randint(len(codes), (batch,))
        units = F.relu(F.linear(inputs[chosen] / scale, free["a"], free["a0"]))
        logits = F.linear(units, free["w"] + free["e"] @ free["b"], free["bias"])
        optimizer.zero_grad()
        F.cross_entropy(logits, codes[chosen]).backward()
        optimizer.step()
        schedule.step()
    free = {k: v.detach() for k, v in free.items()}
    return free["a"] / scale, free["a0"], free["w"] + free["e"] @ free["b"], free["bias"]


def constant(codes, size):
    """Tables without a network: what the codes are like whatever came before."""
    share = (torch.bincount(codes, minlength=size).float() + 1) / (len(codes) + size)
    bias = (share / share.max()).log() * UNITS
    return {"hidden": np.zeros((0, 0), np.int8), "hidden_bias": np.zeros(0, np.int32),
            "logits": np.zeros((0, 0), np.int8), "logit_bias": bias.round().numpy().astype(np.int16),
            "shifts": np.zeros(2, np.int32)}


@torch.no_grad()
def integers(a, a0, w, bias, inputs):
    """A fitted network as the bundle stores it; `inputs` show how far its units reach."""
    to_bytes = 127 / a.abs().max()
    reach = F.relu(F.linear(inputs[:20000], a, a0)).flatten().kthvalue(
        int(0.9998 * min(len(inputs), 20000) * len(a))).values
    hidden_shift = max(0, int(np.ceil(np.log2(float(reach * to_bytes) / HIDDEN_MAX))))
    unit = float(to_bytes) / 2 ** hidden_shift
    octaves = w * (UNITS / unit)
    logit_shift = max(0, int(np.floor(np.log2(127 / float(octaves.abs().max())))))
    half = 2 ** (hidden_shift - 1) if hidden_shift else 0
    return {
        "hidden": (a * to_bytes).round().clamp(-127, 127).numpy().astype(np.int8),
        "hidden_bias": ((a0 * to_bytes).round() + half).numpy().astype(np.int32),
        "logits": (octaves * 2 ** logit_shift).round().clamp(-127, 127).numpy().astype(np.int8),
        "logit_bias": ((bias - bias.max()) * UNITS).round().clamp(-32767, 0).numpy().astype(np.int16),
        "shifts": np.array([hidden_shift, logit_shift], np.int32),
    }


def bits(tables, inputs, codes, piece=4096):
    """Mean bits of codes with integer tables, in their exact arithmetic."""
    total, (hidden_shift, logit_shift) = 0.0, tables["shifts"].tolist()
    weights = {k: torch.from_numpy(tables[k].astype(np.float64)) for k in tables if k != "shifts"}
    for x, y in zip(inputs.split(piece), codes.split(piece)):
        logits = weights["logit_bias"].expand(len(x), -1)
        if len(weights["hidden"]):
            # Doubles hold these integers exactly.
            units = F.linear(x.double(), weights["hidden"], weights["hidden_bias"]).div(2 ** hidden_shift).floor()
            units = units.clamp(0, HIDDEN_MAX)
            logits = logits + F.linear(units, weights["logits"]).div(2 ** logit_shift).floor()
        total += F.cross_entropy(logits / UNITS, y, reduction="sum").item() / np.log(2)
    return total / len(codes)
