"""Write the bundle `text-features`: both halves as ONNX graphs, gains and contexts, and the manifest.

    python models/features/export.py --cache .siskin/features --out models/bundles/text-features
"""
import argparse
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import tables
import torch
import torch.nn.functional as F
from arch import ALIGN, INPUTS, LATENTS, LEVELS, MAX_LATENT, STRIDE, Student
from onnx import TensorProto, helper, numpy_helper
from running import session
from safetensors.numpy import save_file
from teacher import model
from torch import nn
from train import LAMBDAS, unpack


class TextHead(nn.Module):
    """Latents to probabilities of text."""

    def __init__(self, server):
        super().__init__()
        self.server = server

    def forward(self, latents):
        # Back to the size of the frame: boxes are found at its pixels.
        return F.interpolate(torch.sigmoid(self.server(latents)), scale_factor=2.0, mode="bilinear", align_corners=False)


def halve(graph):
    """Store large weights as 16-bit floats, with a cast back that runtimes do once when they load the graph."""
    nodes = []
    for weight in graph.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 512:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_16"))
        nodes.append(helper.make_node("Cast", [name + "_16"], [name], to=TensorProto.FLOAT))
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)
    return graph


def write_graph(path, module, example, names, dims, smaller=halve):
    """Export a module; `dims` are the names of rows and columns of the input and of the output, `smaller` stores weights."""
    module = module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), path, dynamo=False, opset_version=17, input_names=[names[0]],
                          output_names=[names[1]], dynamic_axes={names[0]: {2: "r", 3: "c"}, names[1]: {2: "s", 3: "d"}})
    graph = smaller(onnx.load(path))
    for value, (rows, columns) in zip((graph.graph.input[0], graph.graph.output[0]), dims):
        shape = value.type.tensor_type.shape.dim
        for place, dim in ((2, rows), (3, columns)):
            shape[place].Clear()
            shape[place].dim_param = dim
    # Names of intermediate sizes that nobody states would be left open.
    del graph.graph.value_info[:]
    graph.producer_name, graph.producer_version, graph.doc_string = "siskin", "", ""
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString())


def write_head(path, module):
    write_graph(path, module, torch.zeros(1, LATENTS, 6, 8), ("latents", "map"),
                (("rows", "columns"), ("map_rows", "map_columns")))


def run(device, frames):
    """Latents [c, h, w] of corpus frames, of all levels."""
    return [device.run(None, {"frame": unpack(frame)[None].astype(np.float32)})[0][0] for frame in frames]


def rounded(y, gains):
    """Integer latents [h, w, c] of a frame at a level."""
    return np.clip(np.rint(y * gains[:, None, None]), -MAX_LATENT, MAX_LATENT).astype(np.int32).transpose(1, 2, 0)


def write_manifest(out, heads, training, licence="Apache-2.0"):
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.iterdir()) if p.name != "manifest.json"}
    manifest = {
        "format": 1, "kind": "feature", "name": out.name, "version": "1", "licence": licence, "levels": LEVELS,
        "default_level": 2, "channels": LATENTS, "stride": STRIDE, "align": ALIGN, "device": "device.onnx",
        "tables": "tables.safetensors", "heads": heads, "files": files, "training": training,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


TEXT = {"name": "text", "file": "text.onnx", "map_stride": 1, "result": "boxes", "threshold": 0.3}


def load(cache):
    """The student as far as it is trained, and its checkpoint's step."""
    student = Student(model())
    saved = torch.load(Path(cache) / "student.pt", weights_only=True)
    student.load_state_dict(saved["student"])
    return student.eval(), saved["step"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--out", type=Path, default=Path("models/bundles/text-features"))
    parser.add_argument("--frames", type=int, default=150, help="frames of the corpus whose contexts are counted")
    args = parser.parse_args()
    torch.set_num_threads(1)
    student, step = load(args.cache)
    args.out.mkdir(parents=True, exist_ok=True)
    write_graph(args.out / "device.onnx", student.device, torch.zeros(1, INPUTS, 48, 64), ("frame", "latents"),
                (("rows", "columns"), ("latent_rows", "latent_columns")))
    write_head(args.out / "text.onnx", TextHead(student.server))
    gains = student.gains().detach().numpy().astype(np.float32)
    frames = np.load(args.cache / "frames.npy", mmap_mode="r")
    count = json.loads((args.cache / "corpus.json").read_text())["scenes"]
    # The last scenes: `train.py` draws from them too, but the contexts have few parameters.
    some = [frames[i] for i in range(max(0, count - args.frames), count)]
    outputs, contexts = run(session(args.out / "device.onnx"), some), []
    for level in range(LEVELS):
        latents = [rounded(y, gains[level]) for y in outputs]
        contexts.append(tables.count(latents))
        size = np.mean([tables.bits(y, contexts[-1]) for y in latents]) / 8
        print(f"level {level}: {size:.0f} bytes a frame of the corpus, largest {max(abs(y).max() for y in latents)}, "
              f"{np.mean([(y != 0).mean() for y in latents]):.3f} not zero", flush=True)
    save_file({"gains": gains, "contexts": np.stack(contexts)}, args.out / "tables.safetensors")
    training = {"steps": step, "scenes": count, "lambdas": LAMBDAS, "code": "models/features",
                "teacher": "PP-OCRv6 small text detection of PyPI rapidocr 3.10.0 (Apache-2.0), whose layers both halves contain"}
    write_manifest(args.out, [TEXT], training)


if __name__ == "__main__":
    main()
