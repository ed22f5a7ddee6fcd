"""Write a bundle of voices for tests: every phoneme is a tone of two frames, higher for later letters. Not a voice.

  python models/tts/toy.py            # testdata/voices/toy

It has the shape of Kokoro's: the same inputs and outputs, so the engine that runs Kokoro runs it.
"""
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from siskin_models.export import Graph  # noqa: E402

FRAME, RATE, STYLE = 600, 24000, 4
CHARACTERS = " ;:,.!?…—ˈˌː" + "abcdefhijklmnopqrstuvwxyzæðŋɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒθᵻç"


def graph():
    g = Graph("toy")
    g.inputs.append(helper.make_tensor_value_info("tokens", TensorProto.INT64, (1, "n")))
    style, speed = g.input("style", 1, STYLE), g.input("speed", 1)
    frames = g.op("Max", g.op("Round", g.op("Div", g.scalar(2.0), speed)), g.scalar(1.0))
    number = g.op("Cast", "tokens", to=TensorProto.FLOAT)
    g.output(g.op("Add", g.op("Mul", number, g.scalar(0.0)), frames), "durations", 1, "n")
    samples = g.op("Cast", g.op("Mul", frames, g.scalar(float(FRAME))), to=TensorProto.INT64)
    zero, one = g.op("Squeeze", g.ints(0)), g.op("Squeeze", g.ints(1))
    time = g.op("Cast", g.op("Range", zero, g.op("Squeeze", samples), one), to=TensorProto.FLOAT)
    # The style moves the pitch, so that voices differ.
    base = g.op("Add", g.op("Mul", number, g.scalar(4.0)), g.op("Slice", style, g.ints(0), g.ints(1), g.ints(1)))
    turns = g.op("Mul", g.op("Transpose", base, perm=[1, 0]), g.op("Mul", time, g.scalar(2 * np.pi / RATE)))
    # Boundaries (number 0) are silent.
    loud = g.op("Transpose", g.op("Min", number, g.scalar(0.3)), perm=[1, 0])
    g.output(g.reshape(g.op("Mul", g.op("Sin", turns), loud), -1), "audio", "l")
    return g.model()


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "testdata/voices/toy")
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph(), folder / "model.onnx")
    styles = {name: np.full((8, 1, STYLE), pitch, np.float32) for name, pitch in (("low", 150), ("high", 400), ("tief", 100))}
    save_file(styles, folder / "voices.safetensors")
    files = {p: hashlib.sha256((folder / p).read_bytes()).hexdigest() for p in ("model.onnx", "voices.safetensors")}
    manifest = {
        "format": 1, "kind": "tts", "name": "toy", "version": "1", "licence": "MIT OR Apache-2.0",
        "engine": "kokoro", "graph": "model.onnx", "durations": "durations", "styles": "voices.safetensors",
        "sample_rate": RATE, "frame_samples": FRAME, "vocabulary": {c: i + 1 for i, c in enumerate(CHARACTERS)},
        "boundary": 0, "max_tokens": 60,
        "languages": [{"code": "en-us", "espeak": "en-us", "replace": [["oʊ", "o"]]}, {"code": "de", "espeak": "de"}],
        "voices": [{"name": "low", "language": "en-us"}, {"name": "high", "language": "en-us"},
                   {"name": "tief", "language": "de"}],
        "default_voice": "low", "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
