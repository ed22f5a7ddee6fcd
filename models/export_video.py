"""Export the networks of the real-time video mode as a bundle.

  python models/export_video.py --state .siskin/video/run/state.pt --out models/bundles/video-realtime
  cargo run --release -p siskin-core --example video_contexts -- models/bundles/video-realtime CLIP.yuv...
  python models/export_video.py --hash models/bundles/video-realtime
The first leaves the adaptive decisions at even odds, the second learns where they begin, the third renews the hashes.
"""
import argparse
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch

from siskin_models.export import Graph
from siskin_video import arch


class Sized(Graph):
    """A graph of pictures, whose dimensions have names."""

    def scale(self, x, name, w, code, channels):
        """The affine transform of features by the code."""
        both = self.linear(code, name, w[name + ".out.weight"], w[name + ".out.bias"])
        scale = self.reshape(self.slice(both, 0, channels, 1), 1, channels, 1, 1)
        shift = self.reshape(self.slice(both, channels, 2 * channels, 1), 1, channels, 1, 1)
        return self.op("Add", self.op("Mul", x, self.op("Add", scale, self.scalar(1.0))), shift)

    def gelu(self, x):
        half = self.op("Add", self.op("Erf", self.op("Div", x, self.scalar(math.sqrt(2)))), self.scalar(1.0))
        return self.op("Mul", self.op("Mul", x, half), self.scalar(0.5))

    def code(self, condition, w):
        x = self.gelu(self.linear(condition, "code.a", w["code.a.weight"], w["code.a.bias"]))
        return self.gelu(self.linear(x, "code.b", w["code.b.weight"], w["code.b.bias"]))

    def conv(self, x, name, w):
        weight = w[name + ".weight"]
        inputs = [x, self.weight(name + ".weight", weight)]
        if name + ".bias" in w:
            inputs.append(self.weight(name + ".bias", w[name + ".bias"]))
        return self.convolution(*inputs, kernel=weight.shape[2:], pads=[weight.shape[2] // 2] * 4)


def encoder_graph(w):
    g = Sized("encoder")
    shape = (1, arch.CHANNELS, "rows", "columns")
    picture, prediction = g.input("picture", *shape), g.input("prediction", *shape)
    code = g.code(g.input("condition", 1, arch.CONDITIONS), w)
    difference = g.op("Mul", g.op("Sub", picture, prediction), g.input("fineness", 1, 1, 1, 1))
    x = g.op("Concat", g.op("Mul", difference, g.scalar(0.25)), prediction, axis=1)
    x = g.gelu(g.scale(g.conv(x, "first", w), "affine", w, code, arch.WIDTH))
    x = g.conv(g.gelu(g.conv(x, "second", w)), "last", w)
    g.output(g.op("Add", g.conv(difference, "linear", w), x), "latents", *shape)
    return g.model()


def decoder_graph(w):
    g = Sized("decoder")
    shape = (1, arch.CHANNELS, "rows", "columns")
    latents, prediction = g.input("latents", *shape), g.input("prediction", *shape)
    code = g.code(g.input("condition", 1, arch.CONDITIONS), w)
    linear = g.conv(g.op("Mul", latents, g.input("size", 1, 1, 1, 1)), "linear", w)
    base = g.op("Add", prediction, linear)
    near = g.op("Clip", latents, g.scalar(-3.0), g.scalar(3.0))
    x = g.gelu(g.scale(g.conv(base, "context", w), "affine_context", w, code, arch.WIDTH))
    x = g.op("Mul", x, g.op("Sigmoid", g.conv(near, "gate", w)))
    x = g.op("Add", x, g.conv(near, "latents", w))
    y = g.gelu(g.scale(g.conv(x, "inner", w), "affine_inner", w, code, arch.WIDTH))
    x = g.op("Add", x, g.conv(y, "outer", w))
    both = g.op("DepthToSpace", g.op("Concat", g.conv(x, "up", w), base, axis=1), blocksize=2, mode="CRD")
    y = g.gelu(g.scale(g.conv(both, "fine", w), "affine_fine", w, code, arch.FINE))
    y = g.op("Mul", g.conv(y, "head", w), g.input("mask", 1, 1, "fine_rows", "fine_columns"))
    rest = g.slice(both, 16, 16 + arch.CHANNELS // 4, 1)
    g.output(g.op("Add", rest, y), "picture", 1, arch.CHANNELS // 4, "fine_rows", "fine_columns")
    return g.model()


def half(module):
    """Weights as they come back from 16 bits."""
    for tensor in module.parameters():
        tensor.data = tensor.data.half().float()
    return {name: tensor.detach().numpy() for name, tensor in module.named_parameters()}


def compare(folder, codec):
    """The graphs against PyTorch on random pictures; the largest differences."""
    import onnxruntime as ort
    generator = torch.Generator().manual_seed(1)
    rows, columns, found = 6, 5, {}
    picture, prediction = (torch.rand(1, 96, rows, columns, generator=generator) - 0.5 for _ in range(2))
    quality = torch.tensor([20.0])
    condition, step = arch.condition(quality, 2), arch.step(quality) / 255
    mask = torch.ones(1, 1, 2 * rows, 2 * columns)
    with torch.no_grad():
        wanted = codec.encoder(picture, prediction, condition, 1 / step)
        rounded = torch.round(wanted)
        out = codec.decoder(rounded, prediction, condition, step, mask)
    four = (1, 1, 1, 1)
    feeds = {
        "encoder": {"picture": picture, "prediction": prediction, "condition": condition, "fineness": (1 / step).view(four)},
        "decoder": {"latents": rounded, "prediction": prediction, "condition": condition, "size": step.view(four),
                    "mask": mask},
    }
    for (name, feed), expected in zip(feeds.items(), (wanted, out)):
        session = ort.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        value = session.run(None, {k: v.numpy() for k, v in feed.items()})[0]
        found[name] = float(np.abs(value - expected.numpy()).max())
    return found


def write_manifest(folder, **changes):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    manifest.update(changes)
    files = sorted(manifest[key] for key in ("encoder", "decoder", "contexts"))
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=Path(".siskin/video/run/state.pt"))
    parser.add_argument("--out", type=Path, default=Path("models/bundles/video-realtime"))
    parser.add_argument("--version", default="1")
    parser.add_argument("--contexts", type=int, help="number of adaptive decisions, where the bundle has none yet")
    parser.add_argument("--hash", type=Path, metavar="FOLDER", help="only renew the hashes of a bundle")
    args = parser.parse_args()
    if args.hash:
        write_manifest(args.hash)
        return
    saved = torch.load(args.state, weights_only=True, map_location="cpu")
    codec = arch.Codec().eval()
    codec.load_state_dict(saved["codec"])
    args.out.mkdir(parents=True, exist_ok=True)
    for name, graph in (("encoder", encoder_graph), ("decoder", decoder_graph)):
        (args.out / f"{name}.onnx").write_bytes(graph(half(getattr(codec, name))).SerializeToString())
    contexts = args.out / "contexts.u16"
    if args.contexts:
        contexts.write_bytes(np.full(args.contexts, 1 << 15, "<u2").tobytes())
    found = compare(args.out, codec)
    print(found)
    assert found["encoder"] < 1e-2 and found["decoder"] < 1e-3, "the graphs are not the networks"
    write_manifest(
        args.out, format=1, kind="video", name=args.out.name, version=args.version, licence="MIT OR Apache-2.0",
        qualities=arch.QUALITIES, finest_step=arch.FINEST, qualities_an_octave=arch.PARTS, latest=arch.LATEST,
        key_finer=6, dead_zone=[0.26, 0.36], encoder="encoder.onnx", decoder="decoder.onnx", contexts="contexts.u16",
        training={"steps": saved["steps"], "minutes": round(saved["spent"] / 60, 1), "recipe": "models/train_video.py"})


if __name__ == "__main__":
    main()
