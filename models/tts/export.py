"""Write the bundle of text2vec: two ONNX graphs with 16-bit weights, and the manifest.

  python models/tts/export.py --run .siskin/tts/run --codec models/bundles/speech-24k

`text.onnx`: tokens i64 [1, N], speaker i64 [1] -> hidden [1, N, C], durations in frames [1, N].
`vec.onnx`: expanded [1, T, C + 3] (a row of `hidden` for each of its frames, and where the frame is in it: see
`model.expand`), noise [1, T, K] -> latents [1, T, D]. Both are checked against PyTorch before they are kept.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import CHARACTERS, MEL_SCALE, MEL_SHIFT, PITCH_SCALE, PITCH_SHIFT, ids  # noqa: E402
from features import HOP, MELS, RATE  # noqa: E402
from model import BASIS, FEATURES, HARMONICS, NOISE, WINDOW, Acoustic, Config, Vec, expand, positions  # noqa: E402

from siskin_models.bundle import sha256  # noqa: E402
from siskin_models.export import Graph, linear, norm  # noqa: E402

MAX_TOKENS = 600
# Mel bands on either side over which the spectrum's course is smoothed to tell its detail.
SMOOTH = 5
ESPEAK = {"de": "de", "en-us": "en-us", "en-gb": "en-gb", "it": "it", "pt-br": "pt-br"}


class OpenGraph(Graph):
    """Inputs of whole numbers and axes of any length (given as names)."""

    def whole(self, name, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
        return name

    def conv(self, x, name, w, **attributes):
        """x [1, N, C] through a convolution along N."""
        taps = w[name + ".weight"]
        y = self.convolution(self.op("Transpose", x, perm=[0, 2, 1]), self.weight(name + ".weight", taps),
                             self.weight(name + ".bias", w[name + ".bias"]), kernel=taps.shape[2:], **attributes)
        return self.op("Transpose", y, perm=[0, 2, 1])

    def silu(self, x):
        return self.op("Mul", x, self.op("Sigmoid", x))

    def pick(self, x, index, axis):
        """One slice of an axis, which goes."""
        return self.op("Squeeze", self.slice(x, index, index + 1, axis), self.ints(axis))


def text_graph(c: Config, w):
    g = OpenGraph("text")
    tokens, speaker = g.whole("tokens", 1, "n"), g.whole("speaker", 1)
    x = g.op("Mul", g.op("Gather", g.weight("embed", w["embed.weight"]), tokens), g.scalar(4.0))
    count = g.op("Slice", g.op("Shape", tokens), g.ints(1), g.ints(2), g.ints(0))
    places = g.op("Slice", g.weight("places", positions(MAX_TOKENS, c.width).numpy()), g.ints(0), count, g.ints(0))
    x = g.op("Add", g.op("Add", x, places), g.op("Gather", g.weight("speakers", w["speaker.weight"]), speaker))
    for i in range(c.depth):
        p, size = f"layers.{i}.", c.width // c.heads
        y = linear(g, norm(g, x, p + "norm1", w), p + "qkv", w)
        y = g.op("Transpose", g.reshape(y, 1, -1, 3, c.heads, size), perm=[2, 0, 3, 1, 4])
        q, k, v = (g.pick(y, j, 0) for j in range(3))
        score = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
        score = g.op("Softmax", g.op("Mul", score, g.scalar(size ** -0.5)), axis=-1)
        y = g.reshape(g.op("Transpose", g.op("MatMul", score, v), perm=[0, 2, 1, 3]), 1, -1, c.width)
        x = g.op("Add", x, linear(g, y, p + "out", w))
        y = g.conv(norm(g, x, p + "norm2", w), p + "conv1", w, pads=[1, 1])
        x = g.op("Add", x, g.conv(g.silu(y), p + "conv2", w))
    x = norm(g, x, "norm", w)
    y = g.silu(g.conv(x, "dur1", w, pads=[1, 1]))
    y = g.silu(g.conv(y, "dur2", w, pads=[1, 1]))
    duration = linear(g, norm(g, y, "dur_norm", w), "dur", w)
    rows = g.op("Pad", tokens, g.ints(0, WINDOW // 2, 0, WINDOW // 2))
    table, logs, total = g.weight("linear", w["linear.weight"]), g.weight("logs", w["linear_duration.weight"]), None
    for i in range(WINDOW):
        last = i + 1 - WINDOW
        row = g.op("Add", g.slice(rows, i, last if last else 1 << 30, 1), g.ints(i * c.tokens))
        total = g.op("Gather", table, row) if total is None else g.op("Add", total, g.op("Gather", table, row))
        duration = g.op("Add", duration, g.op("Gather", logs, row))
    own = np.pad(w["linear_speaker.weight"], ((0, 0), (0, (BASIS - 1) * FEATURES)))
    total = g.op("Add", total, g.op("Gather", g.weight("linear_speakers", own), speaker))
    g.output(g.op("Concat", x, total, axis=2), "hidden", 1, "n", c.width + BASIS * FEATURES)
    duration = g.op("Sub", g.op("Exp", g.reshape(duration, 1, -1)), g.scalar(1.0))
    g.output(duration, "durations", 1, "n")
    return g.model()


def blocks(g, x, w, prefix, depth):
    for i in range(depth):
        p = f"{prefix}blocks.{i}"
        width = w[f"{p}.scale"].shape[0]
        y = norm(g, g.conv(x, p + ".conv", w, group=width, pads=[3, 3]), p + ".norm", w)
        y = linear(g, g.silu(linear(g, y, p + ".up", w)), p + ".down", w)
        x = g.op("Add", x, g.op("Mul", y, g.weight(p + ".scale", w[p + ".scale"])))
    return x


def vec_graph(c: Config, a, v):
    """`a` are the weights of Acoustic, `v` of Vec; the names of the second get a prefix."""
    g = OpenGraph("vec")
    size = c.width + BASIS * FEATURES
    expanded, noise = g.input("expanded", 1, "t", size + 3), g.input("noise", 1, "t", NOISE)
    hidden, place = g.slice(expanded, 0, c.width, 2), g.slice(expanded, size, size + 3, 2)
    u = g.op("Sub", g.slice(place, 0, 1, 2), g.scalar(0.5))
    parts = [g.slice(expanded, c.width + i * FEATURES, c.width + (i + 1) * FEATURES, 2) for i in range(BASIS)]
    line = g.op("Add", parts[0], g.op("Mul", parts[1], u))
    line = g.op("Add", line, g.op("Mul", parts[2], g.op("Mul", u, u)))
    x = linear(g, g.op("Concat", hidden, place, axis=2), "inp", a)
    x = blocks(g, x, a, "", c.frames_depth)
    features = g.op("Add", line, linear(g, norm(g, x, "out_norm", a), "out", a))
    known, pitch = g.slice(features, 0, MELS + 1, 2), g.slice(features, MELS, MELS + 1, 2)
    voiced = g.op("Cast", g.op("Greater", g.slice(features, MELS + 1, MELS + 2, 2), g.scalar(0.0)), to=TensorProto.FLOAT)
    # Phase in turns: the sum of the turns of all frames so far; only its fraction counts.
    hertz = g.op("Exp", g.op("Add", g.op("Mul", pitch, g.scalar(PITCH_SCALE)), g.scalar(PITCH_SHIFT)))
    turns = g.op("CumSum", g.op("Mul", hertz, g.scalar(HOP / RATE)), g.ints(1))
    turns = g.op("Sub", turns, g.op("Floor", turns))
    angle = g.op("Mul", turns, g.scalar(2 * np.pi * np.arange(1, HARMONICS + 1)))
    waves = g.op("Mul", g.op("Concat", g.op("Cos", angle), g.op("Sin", angle), axis=2), voiced)
    v = {"vec." + k: x for k, x in v.items()}
    x = linear(g, g.op("Concat", known, voiced, waves, noise, axis=2), "vec.inp", v)
    x = linear(g, norm(g, blocks(g, x, v, "vec.", c.vec_depth), "vec.norm", v), "vec.out", v)
    one = np.ones(c.latent)
    z = g.op("LayerNormalization", x, g.weight("unit.weight", one), g.weight("unit.bias", 0 * one), axis=-1, epsilon=1e-5)
    g.output(z, "latents", 1, "t", c.latent)
    return g.model()


def sharpened(weight, by):
    """The input weights of Vec for levels whose detail along the spectrum is `by` times as large: what is learnt from text is
    a mean over many ways to say it, in which the formants are blunt."""
    place = np.arange(MELS)
    mean = np.maximum(0, 1 - np.abs(place[:, None] - place[None]) / SMOOTH)
    detail = np.eye(MELS) - mean / mean.sum(1, keepdims=True)
    weight[:, :MELS] = weight[:, :MELS] @ torch.from_numpy(np.eye(MELS) + (by - 1) * detail).float()


def halved(net, average):
    """Loads the averages rounded to 16 bits, as the graphs have them; gives them as arrays."""
    net.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in average.items()})
    net.eval()
    return {k: v.numpy() for k, v in net.state_dict().items()}


def check(folder, acoustic, vec, tokens, speaker):
    """Both graphs against PyTorch on one sentence; the largest difference of the latents."""
    run = lambda name, feed: ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"]).run(None, feed)
    hidden, durations = run("text.onnx", {"tokens": tokens[None].numpy(), "speaker": np.array([speaker])})
    with torch.no_grad():
        wanted, logs = acoustic.encode(tokens[None], torch.tensor([speaker]), torch.ones(1, len(tokens)))
        assert np.abs(hidden - wanted.numpy()).max() < 1e-2, np.abs(hidden - wanted.numpy()).max()
        frames = torch.from_numpy(durations[0]).round().clamp(min=0).long()
        expanded = expand(torch.from_numpy(hidden[0]), frames)[None]
        noise = torch.randn(1, expanded.shape[1], NOISE)
        found = run("vec.onnx", {"expanded": expanded.numpy(), "noise": noise.numpy()})[0]
        features = acoustic.frames(expanded, torch.ones(expanded.shape[:2]))
        features[..., -1] = (features[..., -1] > 0).float()
        turns = (features[..., MELS] * PITCH_SCALE + PITCH_SHIFT).exp().mul(HOP / RATE).cumsum(-1)
        z = vec(features, 2 * np.pi * (turns - turns.floor()), noise)
    return np.abs(found - z.numpy()).max(), int(frames.sum())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", type=Path, default=Path(".siskin/tts/run"))
    p.add_argument("--codec", type=Path, default=Path("models/bundles/speech-24k"), help="the bundle that vec was trained for")
    p.add_argument("--out", type=Path, default=Path("models/bundles/text2vec"))
    p.add_argument("--data", type=Path, default=Path(".siskin/tts/data"))
    p.add_argument("--sharpen", type=float, default=1.5, help="how much the detail along the spectrum is enlarged")
    p.add_argument("--version", default="0.2.0")
    p.add_argument("--voices", nargs="*", default=["kerstin"], help="which of the trained speakers the bundle offers")
    args = p.parse_args()
    saved = {part: torch.load(args.run / f"{part}.pt", weights_only=True) for part in ("acoustic", "vec")}
    config = Config(**saved["acoustic"]["config"])
    acoustic, vec = Acoustic(config), Vec(config)
    sharpened(saved["vec"]["average"]["inp.weight"], args.sharpen)
    a, v = halved(acoustic, saved["acoustic"]["average"]), halved(vec, saved["vec"]["average"])
    trained = saved["acoustic"]["voices"]
    order = [trained.index(name) for name in args.voices]
    # The bundle's speakers are numbered in the order of its voices.
    for name in ("speaker.weight", "linear_speaker.weight"):
        a[name] = a[name][order]
    args.out.mkdir(parents=True, exist_ok=True)
    onnx.save(text_graph(config, a), args.out / "text.onnx")
    onnx.save(vec_graph(config, a, v), args.out / "vec.onnx")
    with torch.no_grad():
        for module in (acoustic.speaker, acoustic.linear_speaker):
            module.weight = torch.nn.Parameter(module.weight[order])
    error, frames = check(args.out, acoustic, vec, ids("#ɡˈuːtən tˈɑːk, viː ɡˈeːt ɛs?#"), 0)
    print(f"largest difference from PyTorch {error:.5f} over {frames} frames")
    assert error < 0.05
    codec = json.loads((args.codec / "manifest.json").read_text())
    languages = {}
    for path in sorted(args.data.glob("*.npz")):
        languages |= {c["voice"]: c["language"] for c in json.loads(str(np.load(path)["info"]))}
    spoken = sorted({languages[name] for name in args.voices})
    manifest = {
        "format": 1, "kind": "tts", "name": args.out.name, "version": args.version, "licence": "MIT OR Apache-2.0",
        "engine": "wavthruvec", "text": "text.onnx", "vec": "vec.onnx", "noise": NOISE,
        "codec": codec["name"], "codec_encoder": codec.get("latents", codec["files"][codec["encoder"]["file"]]),
        "sample_rate": RATE, "frame_samples": HOP,
        "vocabulary": {c: i + 1 for i, c in enumerate(CHARACTERS)}, "boundary": CHARACTERS.index("#") + 1,
        "max_tokens": MAX_TOKENS,
        "languages": [{"code": code, "espeak": ESPEAK[code]} for code in spoken],
        "voices": [{"name": name, "language": languages[name]} for name in args.voices],
        "default_voice": args.voices[0],
        "files": {name: sha256(args.out / name) for name in ("text.onnx", "vec.onnx")},
        "training": {part: {"steps": saved[part]["step"], "seconds": round(saved[part]["seconds"]),
                            "parameters": sum(x.size for x in weights.values())}
                     for part, weights in (("acoustic", a), ("vec", v))}
        | {"data": "docs/tts.md", "mel": [MEL_SHIFT, MEL_SCALE], "sharpen": args.sharpen},
        "figures": [],
    }
    (args.out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    print({name: (args.out / name).stat().st_size for name in manifest["files"]})


if __name__ == "__main__":
    main()
