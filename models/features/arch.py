"""The student of split computing: a device half, a bottleneck of integers with a learned rate, and a server half.

After Entropic Student (Matsubara et al., "Supervised Compression for Resource-Constrained Edge Computing Systems",
WACV 2022): the encoder costs far less than the teacher, its latents are quantized and their rate is part of the loss,
and the decoder gives features of the teacher, whose last layers run behind it. What the paper learns in its first stage,
features through a bottleneck, is in closed form here (`Student.begin`).

One bottleneck serves all levels: a gain for each level and channel says how finely a latent is rounded (gained
variational autoencoders, Cui et al., CVPR 2021).
"""
import torch
import torch.nn.functional as F
from graph import Graph
from onnx import numpy_helper
from teacher import DEVIATION, MEAN
from torch import nn

LATENTS, LEVELS, INPUTS, FEATURES = 32, 6, 6, 72
JOINED = 24 + 24 + 4 * 24
STRIDE, ALIGN = 16, 32
MAX_LATENT = 255


class Block(nn.Module):
    """A large depthwise convolution, then a wider pointwise one and back (ConvNeXt, arXiv 2201.03545), without norms:
    what is not there needs no statistics of a batch of few crops."""

    def __init__(self, channels, kernel=5, wider=2):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.wide = nn.Conv2d(channels, channels * wider, 1)
        self.narrow = nn.Conv2d(channels * wider, channels, 1)
        # A small start of the residual: a deep stack begins near the identity.
        nn.init.normal_(self.narrow.weight, 0, 0.3 / (channels * wider) ** 0.5)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x):
        return x + self.narrow(F.relu(self.wide(self.depthwise(x))))


class Device(nn.Module):
    """4:2:0 to latents: the teacher at half the size, without its deepest stage and its head, and a bottleneck behind it.

    At half the size the teacher's layers cost a quarter, and they know what text looks like from the start. The frame comes
    as f32 [n, 6, h / 2, w / 2] of 0 to 255: four samples of Y, U, V of each 2x2 pixels; the sides are multiples of 32.
    """

    def __init__(self, model):
        super().__init__()
        # BT.601 in limited range, as cameras give it: columns Y, U, V, rows blue, green, red.
        matrix = torch.tensor([[1.1644, 2.0172, 0], [1.1644, -0.3918, -0.8130], [1.1644, 0, 1.5960]])
        mean, deviation = torch.from_numpy(MEAN) * 255, torch.from_numpy(DEVIATION) * 255
        # The color that the teacher takes for zero, so that zeros around the frame mean the same to both.
        gray = torch.linalg.solve(matrix, mean) + torch.tensor([16.0, 128, 128])
        self.register_buffer("gray", gray[[0, 0, 0, 0, 1, 2]][:, None, None])
        weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
        first = torch.from_numpy(weights["conv2d_112.w_0"].copy()) / deviation[None, :, None, None]
        # The teacher's first layer on the mean of four samples; training may tell them apart.
        first = torch.einsum("kchw,cy->kyhw", first, matrix)
        first = torch.cat([first[:, :1].repeat(1, 4, 1, 1) / 4, first[:, 1:]], 1)
        self.first = nn.Conv2d(INPUTS, 24, 3, 2, padding=1)
        self.first.weight.data.copy_(first)
        self.first.bias.data.copy_(torch.from_numpy(weights["p2o.pd_op.reshape.0.0"].ravel().copy()))
        deepest = "p2o.pd_op.nearest_interp.0.0"
        self.graph = Graph(model, ["p2o.pd_op.relu.0.0", deepest], [f"p2o.pd_op.add.{n}.0" for n in (86, 90, 94)])
        self.project = nn.Conv2d(JOINED, LATENTS, 1)
        self.refine = nn.Sequential(nn.Conv2d(JOINED, 96, 1), Block(96), nn.ReLU(), nn.Conv2d(96, LATENTS, 1))
        nn.init.zeros_(self.refine[-1].weight)
        nn.init.zeros_(self.refine[-1].bias)

    def joined(self, x):
        """The teacher's features at half the size, of all strides in one grid: [n, 144, h / 16, w / 16]."""
        coarse, middle, fine = self.graph(F.relu(self.first(x - self.gray)), None)
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        return torch.cat([coarse, middle, F.pixel_unshuffle(fine, 2)], 1)

    def narrow(self, joined):
        """Latents [n, 32, h / 16, w / 16] of those features."""
        return self.project(joined) + self.refine(joined)

    def forward(self, x):
        return self.narrow(self.joined(x))

    def teachers(self):
        """The parameters that come from the teacher."""
        return [*self.first.parameters(), *self.graph.parameters()]


class Head(nn.Module):
    """The teacher's last layers: features at a stride to logits at a quarter of it. The features of the deepest stage are
    left out."""

    def __init__(self):
        super().__init__()
        self.reduce = nn.Conv2d(FEATURES, 24, 3, padding=1)
        self.up = nn.ConvTranspose2d(24, 24, 2, 2)
        self.last = nn.ConvTranspose2d(24, 1, 2, 2)

    def forward(self, x):
        return self.last(F.relu(self.up(F.relu(self.reduce(x)))))


class Server(nn.Module):
    """Latents back to the teacher's features at half the size, and those to logits of text [n, 1, h / 2, w / 2]."""

    def __init__(self, outputs=1):
        super().__init__()
        self.back = nn.Conv2d(LATENTS, JOINED, 1)
        self.refine = nn.Sequential(
            nn.Conv2d(LATENTS, 128, 1), Block(128, 7), Block(128, 7), nn.ReLU(), nn.Conv2d(128, JOINED, 1))
        nn.init.zeros_(self.refine[-1].weight)
        nn.init.zeros_(self.refine[-1].bias)
        self.near = Block(FEATURES)
        nn.init.zeros_(self.near.narrow.weight)
        self.head = Head()

    def forward(self, latents):
        joined = self.back(latents) + self.refine(latents)
        wide = F.interpolate(joined[:, :48], scale_factor=2.0, mode="nearest")
        features = torch.cat([wide, F.pixel_shuffle(joined[:, 48:], 2)], 1)
        return self.head(self.near(features))


class Bits(nn.Module):
    """The rate while training: each latent is of a Laplace distribution, whose width depends on level, channel and the
    latents coded before it. The integer contexts that code in the end are counted later (`tables.py`)."""

    def __init__(self):
        super().__init__()
        self.width = nn.Parameter(torch.zeros(LEVELS, LATENTS))
        self.near = nn.Parameter(torch.zeros(LATENTS, LATENTS, 2, 3))

    def forward(self, y, levels):
        """Bits of noisy or rounded latents [n, 32, h, w]: f32 [n, h, w]."""
        # Rows above and what is left in this row; the context itself passes no gradient, as in a table.
        known = torch.log1p(y.detach().abs())
        near = self.near * self.near.new_tensor([[1, 1, 1], [1, 0, 0]])
        near = F.conv2d(F.pad(known, (1, 1, 1, 0)), near)
        width = torch.exp((self.width[levels][:, :, None, None] + near).clamp(-5, 6))
        low, high = (y - 0.5) / width, (y + 0.5) / width
        # Of the far side, so that the difference of two numbers near 1 is never taken.
        flip = y > 0
        low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
        below = lambda z: torch.where(z < 0, 0.5 * torch.exp(z.clamp(max=0)), 1 - 0.5 * torch.exp(-z.clamp(min=0)))
        p = (below(high) - below(low)).clamp(min=2**-16)
        return -torch.log2(p).sum(1)


class Student(nn.Module):
    """Everything that is trained at once."""

    def __init__(self, model):
        super().__init__()
        self.device, self.server, self.bits = Device(model), Server(), Bits()
        self.gain = nn.Parameter(torch.zeros(LEVELS, LATENTS))

    def gains(self):
        """Steps per unit of a latent, f32 [LEVELS, LATENTS]; level 0 is the finest."""
        return torch.exp(self.gain)

    @torch.no_grad()
    def begin(self, frames, head):
        """Begin where no training is needed: the bottleneck is the principal components of the teacher's features, each
        weighted by what its head makes of it. `frames` are f32 [n, 6, h / 2, w / 2], `head` the teacher's weights."""
        head = {k: torch.from_numpy(v.copy()) for k, v in head.items()}
        head["reduce.weight"] = head["reduce.weight"][:, 24:].contiguous()
        self.server.head.load_state_dict(head)
        weight = head["reduce.weight"].square().sum((0, 2, 3)).sqrt()
        weight = torch.cat([weight[:48], weight[48:].repeat_interleave(4) / 2])
        rows = torch.cat([self.device.joined(f[None])[0].flatten(1).T for f in frames])
        mean = rows.mean(0)
        _, values, components = torch.linalg.svd((rows - mean) * weight, full_matrices=False)
        components = components[:LATENTS]
        self.device.project.weight.copy_((components * weight)[:, :, None, None])
        self.device.project.bias.copy_(-(components * weight) @ mean)
        self.server.back.weight.copy_((components / weight).T[:, :, None, None])
        self.server.back.bias.copy_(mean)
        # One step for all components, as the weights have made their errors alike; twice as coarse from level to level.
        spread = values[:LATENTS] / len(rows) ** 0.5
        step = spread.square().mean().sqrt() / 1.6
        steps = step * 1.6 ** torch.arange(LEVELS)
        self.gain.copy_(-torch.log(steps)[:, None].repeat(1, LATENTS))
        self.bits.width.copy_(torch.log((spread[None] / steps[:, None]).clamp(min=0.05)) - 0.35)
        return float(values[:LATENTS].square().sum() / values.square().sum())

    def forward(self, x, levels):
        """Logits and bits [n, h, w] of a batch at the levels [n]; x is frames, or features that `Device.joined` gave."""
        gain = self.gains()[levels][:, :, None, None]
        y = (self.device(x) if x.shape[1] == INPUTS else self.device.narrow(x)).float() * gain
        # The rate sees noise, whose gradient is right on average; the server sees what it will get
        # (Minnen and Singh, arXiv 2007.08739).
        bits = self.bits(y + torch.rand_like(y) - 0.5, levels)
        rounded = y + (torch.round(y) - y).detach()
        return self.server(rounded / gain), bits
