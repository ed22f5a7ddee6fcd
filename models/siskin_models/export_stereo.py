"""Streaming ONNX graphs of the stereo codec: `stereo.py` node by node, in the ways of `export.py`.

Features are [1, 1, T, C], coefficients [1, 2, T, hop] of mid and side. The cosines of the transform are looked up in a table of
one turn, by integers that ONNX Runtime multiplies when it loads the graph: as a matrix in the file they would weigh as much as
all other weights, and in 16 bits they would hum.
"""
import math

import numpy as np
from onnx import numpy_helper

from .arch import EVEN_FLOOR
from .export import Graph, half_weights, linear, norm, trunk, unit
from .stereo import HALF

LAST = 1 << 30


class StereoGraph(Graph):
    def __init__(self, name):
        super().__init__(name)
        self.constants = {}

    def constant(self, name, array):
        """An array in 32 bits, stored once."""
        if name not in self.constants:
            self.constants[name] = self.scalar(array)
        return self.constants[name]

    def integers(self, array):
        name = self.ints(0)
        self.weights[-1] = numpy_helper.from_array(np.asarray(array, np.int64), name)
        return name

    def flip(self, x, axis):
        """The axis backwards."""
        return self.op("Slice", x, self.ints(-1), self.ints(-LAST), self.ints(axis), self.ints(-1))

    def cosines(self, n):
        """The DCT-IV matrix [n, n], orthonormal and symmetric."""
        if "cosines" not in self.constants:
            table = math.sqrt(2 / n) * np.cos(np.pi / (4 * n) * np.arange(8 * n))
            odd = 2 * np.arange(n) + 1
            turns = self.op("Mul", self.integers(odd[:, None]), self.integers(odd[None]))
            place = self.op("Mod", turns, self.ints(8 * n))
            self.constants["cosines"] = self.op("Gather", self.scalar(table), place, axis=0)
        return self.constants["cosines"]

    def window(self, n):
        """Rising and falling half."""
        rise = np.sin(np.pi / 2 * (np.arange(n) + 0.5) / n)
        return self.constant("rise", rise), self.constant("fall", rise[::-1])

    def turn(self, pcm):
        """Left and right <-> mid and side of [1, 2, samples]."""
        return self.op("MatMul", self.constant("turn", np.array([[HALF, HALF], [HALF, -HALF]])), pcm)

    def channel(self, x, index):
        return self.slice(x, index, index + 1, 1)

    def transform(self, pcm, before, index, n):
        """`stereo.transform` of [1, 2, samples] -> [1, 2, T, n], and the samples with those before; the last are state `index`."""
        samples = self.op("Concat", before, pcm, axis=2)
        self.keep(self.slice(samples, -n, LAST, 2), index, (2, n))
        rise, fall = self.window(n)
        half = n // 2
        old = self.op("Mul", self.reshape(self.slice(samples, 0, -n, 2), 1, 2, -1, n), rise)
        new = self.op("Mul", self.reshape(pcm, 1, 2, -1, n), fall)
        a, b, c, d = (self.slice(x, s, e, 3) for x in (old, new) for s, e in ((0, half), (half, LAST)))
        folded = self.op("Concat", self.op("Neg", self.op("Add", self.flip(c, 3), d)), self.op("Sub", a, self.flip(b, 3)), axis=3)
        return self.op("MatMul", folded, self.cosines(n)), samples

    def synthesise(self, coefs, index, n):
        """`StereoDecoder.synthesise`, [1, 2, T, n]; the open slope is state `index`."""
        rise, fall = self.window(n)
        half = n // 2
        folded = self.op("MatMul", coefs, self.cosines(n))
        low, high = self.slice(folded, 0, half, 3), self.slice(folded, half, LAST, 3)
        first = self.op("Mul", self.op("Concat", high, self.op("Neg", self.flip(high, 3)), axis=3), rise)
        second = self.op("Mul", self.op("Neg", self.op("Concat", self.flip(low, 3), low, axis=3)), fall)
        before = self.reshape(self.state(index, (2, n)), 1, 2, 1, n)
        slopes = self.op("Concat", before, second, axis=2)
        self.keep(self.reshape(self.slice(slopes, -1, LAST, 2), 1, 2, n), index, (2, n))
        return self.op("Add", first, self.slice(slopes, 0, -1, 2))

    def companded(self, x):
        root = self.op("Sqrt", self.op("Add", self.op("Abs", x), self.scalar(1e-4)))
        return self.op("Mul", self.op("Div", x, root), self.scalar(3.0))

    def level(self, power, floor, offset):
        log = self.op("Log", self.op("Add", power, self.scalar(floor)))
        return self.op("Add", self.op("Mul", log, self.scalar(0.25)), self.scalar(offset))


def stereo_encoder_graph(c, w, shapes):
    """pcm [1, 2, frames * hop] -> latents [1, D, frames]; `w` is the encoder's state dict as numpy arrays."""
    g = StereoGraph("encoder")
    pcm = g.turn(g.input("pcm", 1, 2, "input_samples"))
    coefs, samples = g.transform(pcm, g.state(0, shapes[0]), 0, c.hop)
    mid, side = g.channel(coefs, 0), g.channel(coefs, 1)
    power = g.linear(g.op("Mul", coefs, coefs), "pool", w["pool"])
    of_mid, of_side = g.channel(power, 0), g.channel(power, 1)
    cross = g.linear(g.op("Mul", mid, side), "pool", w["pool"])
    both = g.op("Sqrt", g.op("Add", g.op("Mul", of_mid, of_side), g.scalar(1e-14)))
    steps = g.op("Sub", pcm, g.slice(samples, c.hop - 1, -1, 2))
    steps = g.reshape(g.op("Mul", steps, steps), 1, 2, -1, c.points, c.hop // c.points)
    course = g.op("Mul", g.op("ReduceMean", steps, axes=[1, 4], keepdims=0), g.scalar(2.0))
    known = g.op("Concat", g.companded(g.slice(mid, 0, c.mid, 3)), g.companded(g.slice(side, 0, c.side, 3)),
                 g.level(of_mid, 1e-8, 1.5), g.level(of_side, 1e-8, 1.5), g.op("Div", cross, both),
                 g.level(g.reshape(course, 1, 1, -1, c.points), 1e-9, 2.0), axis=3)
    spread = g.op("Add", g.linear(g.op("Add", of_mid, of_side), "spread", w["spread"]), g.scalar(EVEN_FLOOR))
    root = g.op("Sqrt", spread)
    even = g.op("Concat", *(g.op("Div", g.slice(x, 0, n, 3), g.slice(root, 0, n, 3))
                            for x, n in ((mid, c.skip_mid), (side, c.skip_side))), axis=3)
    x = trunk(g, linear(g, known, "inp", w), w, c.enc_depth, shapes)
    z = unit(g, g.op("Add", linear(g, x, "out", w), linear(g, even, "skip", w)))
    g.output(g.op("Transpose", g.reshape(z, 1, -1, c.latent), perm=[0, 2, 1]), "latents", 1, c.latent, "output_samples")
    return g.model()


def stereo_decoder_graph(c, w, shapes):
    """latents [1, D, frames] -> pcm [1, 2, frames * hop], late by `hop` samples."""
    g = StereoGraph("decoder")
    z = g.op("Transpose", g.input("latents", 1, c.latent, "input_samples"), perm=[0, 2, 1])
    z = g.reshape(z, 1, 1, -1, c.latent)
    x = norm(g, trunk(g, linear(g, z, "inp", w), w, c.dec_depth, shapes), "norm", w)

    def gains(name):
        """Gains of mid and side over all coefficients."""
        logs = g.op("Exp", g.op("Min", linear(g, x, name, w), g.scalar(3.0)))
        return [g.linear(g.slice(logs, s, s + c.bands, 3), "spread", w["spread"]) for s in (0, c.bands)]

    shape, low = linear(g, x, "shape", w), linear(g, z, "skip", w)
    made, at, from_low = [], 0, 0
    for gain, heard, past in zip(gains("gain"), (c.mid, c.side), (c.skip_mid, c.skip_side)):
        lows = g.op("Add", g.slice(shape, at, at + past, 3), g.slice(low, from_low, from_low + past, 3))
        part = g.op("Concat", lows, g.slice(shape, at + past, at + heard, 3), axis=3)
        part = g.op("Mul", part, g.slice(gain, 0, heard, 3))
        made.append(g.op("Pad", part, g.ints(0, 0, 0, 0, 0, 0, 0, c.hop - heard)))
        at, from_low = at + heard, from_low + past

    index = len(shapes) - 1
    last = g.reshape(g.state(index, shapes[index]), 1, 1, 1, 2)

    def course(points, before):
        before = g.op("Concat", before, g.slice(g.slice(points, 0, -1, 2), -1, LAST, 3), axis=2)
        return g.op("Exp", g.linear(g.op("Concat", before, points, axis=3), "lines", w["lines"]))

    envelope = g.op("Clip", linear(g, x, "envelope", w), g.scalar(-4.0), g.scalar(3.0))
    swell = g.op("Clip", linear(g, x, "swell", w), g.scalar(-4.0), g.scalar(1.5))
    ends = [g.slice(g.slice(p, -1, LAST, 2), -1, LAST, 3) for p in (envelope, swell)]
    g.keep(g.reshape(g.op("Concat", *ends, axis=3), 1, 1, 2), index, shapes[index])

    white = g.op("Sin", g.linear(z, "scatter", w["scatter"]))
    white = g.op("Concat", g.slice(white, 0, c.hop, 3), g.slice(white, c.hop, LAST, 3), axis=1)
    shaped = g.reshape(g.op("Mul", white, course(envelope, g.slice(last, 0, 1, 3))), 1, 2, -1)
    noise, _ = g.transform(shaped, g.state(index - 1, shapes[index - 1]), index - 1, c.hop)
    coefs = g.op("Add", g.op("Concat", *made, axis=1), g.op("Mul", noise, g.op("Concat", *gains("level"), axis=1)))

    pan = g.op("Mul", g.op("Tanh", linear(g, x, "pan", w)), g.scalar(1.05))
    mid = g.channel(coefs, 0)
    side = g.op("Add", g.channel(coefs, 1), g.op("Mul", g.linear(pan, "spread", w["spread"]), mid))
    pcm = g.synthesise(g.op("Concat", mid, side, axis=1), 0, c.hop)
    pcm = g.op("Mul", pcm, course(swell, g.slice(last, 1, 2, 3)))
    g.output(g.turn(g.reshape(pcm, 1, 2, -1)), "pcm", 1, 2, "output_samples")
    return g.model()


def stereo_half_weights(module):
    """`half_weights`, but for the window, which graphs hold in 32 bits."""
    window = module.window.clone()
    found = half_weights(module)
    module.window.copy_(window)
    return found
