"""Carry text2vec over to a further trained encoder of its codec, without training text2vec again.

A further trained encoder tells the same sounds by slightly other latents. A linear map from the old encoder's latents to
the new one's, by least squares over speech, goes behind the graph that gives latents. `train.py vec` from the
start gives better latents, and takes longer.

  python models/tts/carry.py --old OLD/speech-24k --speech /data/kerstin
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import soundfile as sf
import torch
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from siskin_models.bundle import sha256  # noqa: E402
from siskin_models.codec import load_bundle  # noqa: E402

RIDGE = 1e-3
OUTPUT, BEFORE = "latents", "latents_before"


def pairs(old, new, files, hop):
    """Latents [N, D] of both encoders for the same frames."""
    found = []
    for path in files:
        pcm, rate = sf.read(path, dtype="float32")
        if rate != old.config.sample_rate or pcm.ndim != 1:
            raise SystemExit(f"{path}: {rate} Hz, {pcm.ndim} dimensions; wanted: {old.config.sample_rate} Hz mono")
        pcm = torch.from_numpy(pcm[: len(pcm) // hop * hop])[None]
        found.append([codec.encode(pcm)[0] for codec in (old, new)])
    return (torch.cat(side).numpy().astype(np.float64) for side in zip(*found))


def least_squares(x, y):
    """Matrix [D + 1, D], the last row constant, that takes x near to y."""
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    return np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)


def unit(z):
    return z / np.sqrt(np.square(z).mean(-1, keepdims=True) + 1e-5)


def appended(model, matrix):
    """The graph with the map, and then the encoder's fixed length of latents, behind its output."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = [BEFORE if name == OUTPUT else name for name in node.output]
    tensors = {"carry.weight.f16": matrix[:-1].astype(np.float16), "carry.bias.f16": matrix[-1].astype(np.float16),
               "carry.small": np.float32(1e-5)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in tensors.items())
    node = helper.make_node
    graph.node.extend([
        *(node("Cast", [f"carry.{k}.f16"], [f"carry.{k}"], to=TensorProto.FLOAT) for k in ("weight", "bias")),
        node("MatMul", [BEFORE, "carry.weight"], ["carry.turned"]),
        node("Add", ["carry.turned", "carry.bias"], ["carry.moved"]),
        node("Mul", ["carry.moved", "carry.moved"], ["carry.square"]),
        node("ReduceMean", ["carry.square"], ["carry.mean"], axes=[2], keepdims=1),
        node("Add", ["carry.mean", "carry.small"], ["carry.power"]),
        node("Sqrt", ["carry.power"], ["carry.length"]),
        node("Div", ["carry.moved", "carry.length"], [OUTPUT]),
    ])
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--old", type=Path, required=True, help="the codec's bundle that text2vec was trained for")
    p.add_argument("--new", type=Path, default=Path("models/bundles/speech-24k"))
    p.add_argument("--bundle", type=Path, default=Path("models/bundles/text2vec"))
    p.add_argument("--speech", type=Path, required=True, help="a folder of .flac files")
    p.add_argument("--version", required=True, help="of the bundle that is written")
    args = p.parse_args()
    path = args.bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    codecs = [json.loads((folder / "manifest.json").read_text()) for folder in (args.old, args.new)]
    hashes = [c.get("latents", c["files"][c["encoder"]["file"]]) for c in codecs]
    if manifest["codec_encoder"] != hashes[0]:
        raise SystemExit(f"{args.bundle} is for the encoder {manifest['codec_encoder']}, {args.old} has {hashes[0]}")
    model = onnx.load(args.bundle / manifest["vec"])
    if any(t.name.startswith("carry.") for t in model.graph.initializer):
        raise SystemExit(f"{args.bundle} was carried once already: start from the one that was trained")
    with torch.no_grad():
        old, new = (load_bundle(folder).eval() for folder in (args.old, args.new))
        x, y = pairs(old, new, sorted(args.speech.glob("*.flac")), codecs[0]["hop"])
    rest = np.arange(len(x)) // 1000 % 10 == 0  # a tenth, in pieces of 20 s
    matrix = least_squares(x[~rest], y[~rest])
    left = np.square(unit(x[rest] @ matrix[:-1] + matrix[-1]) - y[rest]).mean()
    print(f"{len(x)} frames; of the new latents' power {100 * left:.1f} % is left over on a tenth held out, "
          f"{100 * np.square(x[rest] - y[rest]).mean():.1f} % without the map")
    onnx.save(appended(model, matrix), args.bundle / manifest["vec"])
    manifest["version"], manifest["codec_encoder"] = args.version, hashes[1]
    manifest["files"][manifest["vec"]] = sha256(args.bundle / manifest["vec"])
    path.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
