"""Streaming ONNX graphs of the codec: any whole number of code frames a run, states as inputs and outputs.

The graphs are written node by node instead of traced: few nodes, plain operators, readable names. Features are [1, 1, T, C], T
steps of the trunk: with four dimensions the depthwise convolutions need no reshape, and ONNX Runtime has fast ones for images
alone (a convolution along one dimension took 30 us more a frame, five of them half the time of the encoder).
Weights are stored as 16-bit floats with a Cast behind each; ONNX Runtime folds the casts when it loads the graph.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .arch import EVEN_FLOOR
from .harmonics import HISTORY, LISTEN, ROOT, SMOOTH, TAPS

OPSET = 17


class Graph:
    """Collects nodes; a weight of the same name is stored once; `op` returns the name of its (first) output."""

    def __init__(self, name):
        self.name, self.nodes, self.weights, self.inputs, self.outputs = name, [], [], [], []
        self.named = {}

    def op(self, kind, *inputs, out=None, **attributes):
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def convolution(self, *inputs, kernel, **attributes):
        """`kernel` is its shape. All attributes are written out: rten takes the number of dimensions from them, and refuses
        a convolution along one that leaves out what ONNX has defaults for."""
        count = len(kernel)
        defaults = {"kernel_shape": list(kernel), "pads": [0] * 2 * count, "strides": [1] * count, "dilations": [1] * count}
        return self.op("Conv", *inputs, **{**defaults, **attributes})

    def weight(self, name, array):
        if any(w.name == name + ".f16" for w in self.weights):
            return name
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float16), name + ".f16"))
        return self.op("Cast", name + ".f16", out=name, to=TensorProto.FLOAT)

    def ints(self, *values):
        name = f"ints_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def scalar(self, value):
        name = f"scalar_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def input(self, name, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, value, name, *shape):
        self.named[value] = name
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def rename_outputs(self):
        """Outputs are what nodes give under their own names: rten forgets the shape of one that an Identity passes on."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = self.named.get(name, name)

    def state(self, index, shape):
        return self.input(f"s{index}", 1, *shape)

    def keep(self, value, index, shape):
        self.output(value, f"s{index}_next", 1, *shape)

    def slice(self, x, start, end, axis):
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis))

    def reshape(self, x, *shape):
        return self.op("Reshape", x, self.ints(*shape))

    def linear(self, x, name, weight, bias=None):
        """x [..., in] times weight [out, in] transposed."""
        y = self.op("MatMul", x, self.weight(name + ".weight", weight.T))
        return y if bias is None else self.op("Add", y, self.weight(name + ".bias", bias))

    def model(self):
        self.rename_outputs()
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="siskin",
                                  ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def linear(g, x, name, w):
    return g.linear(x, name, w[name + ".weight"], w.get(name + ".bias"))


def norm(g, x, name, w):
    return g.op("LayerNormalization", x, g.weight(name + ".weight", w[name + ".weight"]),
                g.weight(name + ".bias", w[name + ".bias"]), axis=-1, epsilon=1e-5)


def trunk(g, x, w, depth, shapes):
    """The ConvNeXt blocks of `arch.Block`; states s1... hold the last inputs of the depthwise convolutions, [1, 1, k - 1, C]."""
    for i in range(depth):
        p, (width, kept) = f"blocks.{i}", shapes[i + 1]
        shape = (1, kept, width)
        y = g.op("Concat", g.state(i + 1, shape), x, axis=2)
        g.keep(g.slice(y, -kept, 1 << 30, 2), i + 1, shape)
        taps = w[p + ".conv.weight"][:, :, None]
        y = g.convolution(g.op("Transpose", y, perm=[0, 3, 1, 2]), g.weight(p + ".conv.weight", taps),
                          g.weight(p + ".conv.bias", w[p + ".conv.bias"]), kernel=taps.shape[2:], group=width)
        y = norm(g, g.op("Transpose", y, perm=[0, 2, 3, 1]), p + ".norm", w)
        y = linear(g, y, p + ".up", w)
        y = linear(g, g.op("Mul", y, g.op("Sigmoid", y)), p + ".down", w)
        x = g.op("Add", x, g.op("Mul", y, g.weight(p + ".scale", w[p + ".scale"])))
    return x


def unit(g, z):
    mean = g.op("ReduceMean", g.op("Mul", z, z), axes=[3], keepdims=1)
    return g.op("Div", z, g.op("Sqrt", g.op("Add", mean, g.scalar(1e-5))))


def encoder_graph(c, w, shapes):
    """pcm [1, 1, frames * hop] -> latents [1, D, frames]; `w` is the encoder's state dict as numpy arrays."""
    g = Graph("encoder")
    pcm, before = g.input("pcm", 1, 1, "input_samples"), g.state(0, shapes[0])
    x = join(g, analysis(g, pcm, before, 0, c, w, shapes[0]), c)
    power = g.linear(g.op("Mul", x, x), "pool", w["pool"])
    level = g.op("Log", g.op("Add", power, g.scalar(1e-8)))
    level = g.op("Add", g.op("Mul", level, g.scalar(0.25)), g.scalar(1.5))
    root = g.op("Sqrt", g.op("Add", g.op("Abs", x), g.scalar(1e-4)))
    root = g.op("Mul", g.op("Div", x, root), g.scalar(3.0))
    if c.skip:
        lifted = g.op("Add", g.linear(power, "spread", w["spread"]), g.scalar(EVEN_FLOOR))
        even = g.op("Div", x, g.op("Sqrt", lifted))
    x = linear(g, g.op("Concat", root, level, axis=3), "inp", w)
    x = trunk(g, x, w, c.enc_depth, shapes)
    if c.trunk > 1:
        x = g.reshape(x, 1, 1, -1, c.trunk * c.enc_width)
    z = unit(g, linear(g, x, "out", w))
    if c.skip:
        z = unit(g, g.op("Add", z, linear(g, even, "skip", w)))
    g.output(g.op("Transpose", g.reshape(z, 1, -1, c.latent), perm=[0, 2, 1]), "latents", 1, c.latent, "output_samples")
    return g.model()


def split(g, x, c):
    """Trunk steps [1, 1, steps, coefs] -> MDCT blocks [1, 1, blocks, N]; `join` is the way back."""
    per_step = c.coefs // c.block
    if per_step == 1:
        return x
    x = g.op("Transpose", g.reshape(x, 1, -1, c.block, per_step), perm=[0, 1, 3, 2])
    return g.reshape(x, 1, 1, -1, c.block)


def join(g, x, c):
    per_step = c.coefs // c.block
    if per_step == 1:
        return x
    x = g.op("Transpose", g.reshape(x, 1, -1, per_step, c.block), perm=[0, 1, 3, 2])
    return g.reshape(x, 1, 1, -1, c.coefs)


def analysis(g, pcm, before, index, c, w, shape):
    """MDCT of pcm [1, 1, samples], [1, 1, blocks, N]; state `index` holds the overlap `before`, [1, 1, overlap]."""
    samples = g.op("Concat", before, pcm, axis=2)
    g.keep(g.slice(samples, -c.overlap, 1 << 30, 2), index, shape)
    # A window is N samples, and the overlap after them, which is the end of the block that was new.
    heads = g.reshape(g.slice(samples, 0, -c.overlap, 2), 1, 1, -1, c.block)
    ends = g.slice(g.reshape(pcm, 1, 1, -1, c.block), c.block - c.overlap, 1 << 30, 3)
    return g.linear(g.op("Concat", heads, ends, axis=3), "analysis", w["basis"])


def band_gain(g, x, name, w):
    """Gains of the coefficients from the levels of the bands."""
    return g.linear(g.op("Exp", g.op("Min", linear(g, x, name, w), g.scalar(3.0))), "spread", w["spread"])


def noise_coefficients(g, z, x, c, w, shape):
    """`arch.Decoder.white` and `colour`."""
    white = g.op("Sin", g.linear(z, "scatter", w["scatter"]))
    envelope = g.op("Exp", g.op("Min", linear(g, x, "envelope", w), g.scalar(3.0)))
    envelope = g.linear(envelope, "lines", w["lines"])
    if c.trunk > 1:
        envelope = g.reshape(envelope, 1, 1, -1, c.hop)
    index = c.dec_depth + 1
    pcm = g.reshape(g.op("Mul", white, envelope), 1, 1, -1)
    coefs = join(g, analysis(g, pcm, g.state(index, shape), index, c, w, shape), c)
    return g.op("Mul", coefs, band_gain(g, x, "level", w))


def synthesis(g, steps, w, c, index, shape):
    """Overlap-add of `arch.Decoder.synthesise`, [1, 1, samples]; the open slope is state `index`, [1, 1, overlap]."""
    seg = g.linear(split(g, steps, c), "synthesis", w["basis"].T)
    slopes = g.op("Concat", g.reshape(g.state(index, shape), 1, 1, 1, c.overlap), g.slice(seg, c.block, 1 << 30, 3), axis=2)
    g.keep(g.reshape(g.slice(slopes, -1, 1 << 30, 2), 1, 1, c.overlap), index, shape)
    body = g.op("Add", g.slice(seg, 0, c.overlap, 3), g.slice(slopes, 0, -1, 2))
    if c.block > c.overlap:
        body = g.op("Concat", body, g.slice(seg, c.overlap, c.block, 3), axis=3)
    return g.reshape(body, 1, 1, -1)


def overtones(g, plain, x, c, w, index, shapes):
    """`harmonics.Harmonics`, with states `index` and the next: plain [1, 1, hop] -> [1, 1, hop]. One frame a run: each frame has
    filters of its own."""
    part = lambda name: w["harmonics." + name]
    heard = g.op("Concat", g.state(index, shapes[index]), plain, axis=2)
    g.keep(g.slice(heard, -HISTORY, 1 << 30, 2), index, shapes[index])
    power = g.op("AveragePool", g.op("Mul", heard, heard), kernel_shape=[SMOOTH], strides=[1])
    level = g.op("Sqrt", g.op("Add", power, g.scalar(1e-8)))
    listen = part("listen")
    filtered = g.convolution(g.slice(heard, SMOOTH - LISTEN, 1 << 30, 2), g.weight("harmonics.listen", listen),
                             kernel=listen.shape[2:])
    # Column vectors: `graph_weights` turns what has two dimensions.
    turns, phase = (g.op("Transpose", g.weight("harmonics." + n, part(n).T), perm=[1, 0]) for n in ("turns", "phase"))
    turned = g.op("Add", g.op("Mul", g.op("Div", filtered, level), turns), phase)
    y, count = g.op("Sub", g.op("Sin", turned), g.op("Sin", phase)), TAPS - 1 + c.hop
    late = lambda n: g.slice(y, 2 - n, 2 - n + count, 2)
    channels = g.op("Add", g.op("Sub", late(0), g.op("Mul", late(1), g.scalar(2 * ROOT))), g.op("Mul", late(2), g.scalar(ROOT**2)))
    x = g.reshape(x, 1, 1, c.dec_width)
    mix = linear(g, x, "harmonics.mix", w)
    gain = g.op("Exp", g.op("Min", linear(g, x, "harmonics.gain", w), g.scalar(3.0)))
    now, before = g.op("Concat", mix, gain, axis=2), g.state(index + 1, shapes[index + 1])
    g.keep(now, index + 1, shapes[index + 1])

    def shaped(gains, keep):
        source = g.op("MatMul", g.slice(gains, 0, c.harmonics, 2), g.slice(channels, 0, TAPS - 1 + keep, 2))
        # `Conv` correlates.
        taps = g.linear(g.slice(gains, c.harmonics, 1 << 30, 2), "filters", part("filters").T[::-1])
        return g.convolution(source, taps, kernel=[TAPS])

    new, fading = shaped(now, c.hop), shaped(before, c.overlap)
    head = g.slice(new, 0, c.overlap, 2)
    rise = g.op("Mul", g.weight("rise", part("rise")), g.op("Sub", head, fading))
    return g.op("Concat", g.op("Add", fading, rise), g.slice(new, c.overlap, 1 << 30, 2), axis=2)


def takes_blocks(c, part):
    """Whether the graph takes several frames a run."""
    return part == "encoder" or not c.harmonics


def decoder_graph(c, w, shapes):
    """latents [1, D, frames] -> pcm [1, 1, frames * hop], late by `overlap` samples; one frame with overtones."""
    g = Graph("decoder")
    frames, samples = ("input_samples", "output_samples") if takes_blocks(c, "decoder") else (1, c.hop)
    z = g.op("Transpose", g.input("latents", 1, c.latent, frames), perm=[0, 2, 1])
    z = g.reshape(z, 1, 1, -1, c.latent)
    x = linear(g, z, "inp", w)
    if c.trunk > 1:
        x = g.reshape(x, 1, 1, -1, c.dec_width)
    x = norm(g, trunk(g, x, w, c.dec_depth, shapes), "norm", w)
    shape = linear(g, x, "shape", w)
    if c.skip:
        shape = g.op("Add", shape, linear(g, z, "skip", w))
    steps = g.op("Mul", shape, band_gain(g, x, "gain", w))
    noise = noise_coefficients(g, z, x, c, w, shapes[c.dec_depth + 1]) if c.noise else None
    if c.noise and not c.harmonics:
        steps = g.op("Add", steps, noise)
    pcm = synthesis(g, steps, w, c, 0, shapes[0])
    if c.harmonics:
        if c.trunk != 1:
            raise ValueError(f"trunk {c.trunk} with harmonics, allowed: 1")
        index = len(shapes) - 2
        pcm = g.op("Add", pcm, overtones(g, pcm, x, c, w, index, shapes))
        if c.noise:
            pcm = g.op("Add", pcm, synthesis(g, noise, w, c, index - 1, shapes[index - 1]))
    g.output(pcm, "pcm", 1, 1, samples)
    return g.model()


def half_weights(module):
    """Round every parameter and buffer of a torch module to 16 bits in place; returns them as numpy arrays."""
    found = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        tensor.data = tensor.data.half().float()
        found[name] = tensor.data.numpy()
    return found


def graph_weights(model):
    """The weights of an exported graph under the names and in the shapes of the torch module."""
    found = {}
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".f16"):
            array = numpy_helper.to_array(tensor).astype(np.float32)
            # `Graph.linear` turned the matrices, and `trunk` made images of the taps.
            array = array.T.copy() if array.ndim == 2 else array[:, :, 0] if array.ndim == 4 else array
            found[tensor.name.removesuffix(".f16")] = array
    return found
