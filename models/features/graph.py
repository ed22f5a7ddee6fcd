"""A part of the teacher's ONNX graph as a torch module, so that the student can begin with the teacher's weights."""
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn


class Graph(nn.Module):
    """Runs the nodes from `inputs` to `outputs` (names of tensors). Inputs that are given as None count as zeros where they are
    added: branches are cut off that way."""

    def __init__(self, model, inputs, outputs):
        super().__init__()
        graph = model.graph
        weights = {w.name: numpy_helper.to_array(w).copy() for w in graph.initializer}
        same = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity"}

        def name(tensor):
            while tensor in same:
                tensor = same[tensor]
            return tensor

        made = {n.output[0]: n for n in graph.node}
        used = {}
        for n in graph.node:
            for i in n.input:
                if n.op_type != "Identity":
                    used.setdefault(name(i), []).append(n)
        inputs = [name(i) for i in inputs]
        steps, seen, self.places = [], set(inputs), {}

        def weight(of):
            # One weight may serve several nodes; names of parameters have no dots.
            key = "w_" + of.replace(".", "_")
            if key not in self._parameters:
                self.register_parameter(key, nn.Parameter(torch.from_numpy(weights[of])))
            return key

        def visit(tensor):
            tensor = name(tensor)
            if tensor in seen:
                return tensor
            seen.add(tensor)
            node = made[tensor]
            attributes = {a.name: a for a in node.attribute}
            kind, args, extra = node.op_type, [name(i) for i in node.input], None
            if kind == "Mul" and any(made[a].op_type == "Mul" and self._is_gelu(made, name, a) for a in args if a in made):
                # x / sqrt(2) -> erf -> + 1 -> * x -> * 0.5, of which x is the Mul's first input.
                inner = next(made[a] for a in args if a in made)
                steps.append(("gelu", [visit(inner.input[0])], None, tensor))
                return tensor
            if kind in ("Conv", "ConvTranspose"):
                pads = list(attributes["pads"].ints) if "pads" in attributes else None
                extra = dict(stride=list(attributes["strides"].ints), pads=pads, weight=weight(args[1]),
                             group=attributes["group"].i if "group" in attributes else 1)
                args = args[:1]
            elif kind == "Add" and args[1] in weights:
                kind, extra, args = "Bias", weight(args[1]), args[:1]
            elif kind == "HardSigmoid":
                extra = (attributes["alpha"].f, attributes["beta"].f)
            elif kind == "Resize":
                # All of them double or more, to nearest neighbors; the factor is that of the graph's constant.
                extra, args = float(weights[args[2]][2]), args[:1]
            steps.append((kind, [visit(a) for a in args], extra, tensor))
            return tensor

        self.outputs = [visit(o) for o in outputs]
        self.inputs, self.steps = inputs, steps

    @staticmethod
    def _is_gelu(made, name, tensor):
        node = made.get(name(made[tensor].input[1]))
        return node is not None and node.op_type == "Add" and name(node.input[0]) in made \
            and made[name(node.input[0])].op_type == "Erf"

    def forward(self, *inputs):
        values = dict(zip(self.inputs, inputs))
        for kind, args, extra, out in self.steps:
            a = [values[i] for i in args]
            values[out] = self.run(kind, a, extra)
        return [values[o] for o in self.outputs]

    def run(self, kind, a, extra):
        x = a[0]
        if kind == "Conv":
            pads, pad = extra["pads"], 0
            if pads is None:
                # SAME_UPPER of a 2x2 kernel: one more column and row at the end.
                x = F.pad(x, (0, 1, 0, 1))
            else:
                pad = pads[:2]
            return F.conv2d(x, getattr(self, extra["weight"]), stride=extra["stride"], padding=pad, groups=extra["group"])
        if kind == "ConvTranspose":
            return F.conv_transpose2d(x, getattr(self, extra["weight"]), stride=extra["stride"])
        if kind == "Bias":
            return x + getattr(self, extra)
        if kind == "Add":
            return a[0] if a[1] is None else a[1] if a[0] is None else a[0] + a[1]
        if kind == "HardSigmoid":
            return torch.clamp(x * extra[0] + extra[1], 0, 1)
        if kind == "Resize":
            return F.interpolate(x, scale_factor=extra, mode="nearest")
        if kind == "MaxPool":
            # Of values of at least 0, so zeros at the end change nothing.
            return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)
        simple = {"Relu": F.relu, "gelu": F.gelu, "Sigmoid": torch.sigmoid,
                  "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True), "ReduceMean": lambda x: x.mean((2, 3), keepdim=True)}
        if kind in simple:
            return simple[kind](x)
        if kind == "Mul":
            return a[0] * a[1]
        if kind == "Concat":
            return torch.cat(a, 1)
        raise ValueError(f"{kind} is not an operation of the teacher's graph")
