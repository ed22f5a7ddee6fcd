"""Would features pay for sound? Measured on voice activity, the one task of sound whose teacher a package carries whole.

    pip install --no-deps silero-vad==6.2.3
    python models/features/sound.py --siskin target/release/siskin --out docs/evaluation/features-sound.json

The teacher is the network of the PyPI package `silero-vad` (MIT): a probability of speech for each 32 ms. Prompts of the Debian
package asterisk-core-sounds-en-wav with pauses between them, half of the time over music of asterisk-moh-opsound-wav (both
CC-BY-SA-3.0), go to it as they are, through codecs, and cut in two behind its convolutions, where the features are narrowest:
their principal components, rounded and coded at their entropy. Agreement is with its decisions on the original.
"""
import argparse
import json
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import soundfile as sf
from packages import package
from running import cpu_ms, session
from scipy.signal import resample_poly

RATE, CHUNK, CONTEXT, CUT = 16_000, 512, 64, "/Relu_3_output_0"


def mono(path):
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    return resample_poly(samples.mean(1), RATE, rate).astype(np.float32)


def clip(cache, seconds):
    """Prompts and pauses at 16 kHz; every other ten seconds over music."""
    rng = np.random.default_rng(7)
    prompts = sorted(package("asterisk-core-sounds-en-wav", cache).rglob("*.wav"))
    music = mono(sorted(package("asterisk-moh-opsound-wav", cache).rglob("*.wav"))[0])
    out, length = [], 0
    while length < seconds * RATE:
        prompt = mono(prompts[rng.integers(len(prompts))])
        part = np.concatenate([prompt * 0.1 / max(1e-3, prompt.std()), np.zeros(int(RATE * rng.uniform(0.3, 2.5)), np.float32)])
        out.append(part)
        length += len(part)
    speech = np.concatenate(out)[: seconds * RATE]
    music = np.resize(music, len(speech))
    loud = np.arange(len(speech)) // (10 * RATE) % 2
    return np.clip(speech + music * loud * 0.035 / music.std() + rng.normal(0, 5e-4, len(speech)), -1, 1).astype(np.float32)


def chunks(samples):
    """Chunks of 32 ms with the 4 ms before them, as the network takes them: f32 [n, 576]."""
    count = len(samples) // CHUNK
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples[: count * CHUNK]])
    return np.lib.stride_tricks.sliding_window_view(padded, CHUNK + CONTEXT)[::CHUNK].copy()


class Teacher:
    """The network whole, and its two parts."""

    def __init__(self):
        path = files("silero_vad").joinpath("data/silero_vad_16k_sequence.onnx")
        self.whole = session(path.read_bytes())
        with tempfile.TemporaryDirectory() as folder:
            parts = {"front": (["input"], [CUT]), "back": ([CUT, "h", "c"], ["speech_probs"])}
            for name, (inputs, outputs) in parts.items():
                onnx.utils.extract_model(str(path), f"{folder}/{name}.onnx", inputs, outputs)
                setattr(self, name, session(Path(f"{folder}/{name}.onnx").read_bytes()))
        zero = np.zeros((1, 1, 128), np.float32)
        self.state = {"h": zero, "c": zero}

    def run(self, samples):
        return self.whole.run(["speech_probs"], {"input": chunks(samples), **self.state})[0].ravel()


def entropy_bits(integers):
    """Bits of integers [n, channels] at the entropy of each channel: no coder that knows no more of them needs less."""
    total = 0.0
    for column in integers.T:
        counts = np.unique(column, return_counts=True)[1]
        total -= float((counts * np.log2(counts / len(column))).sum())
    return total


def through_opus(samples, folder, rate):
    sf.write(folder / "a.wav", samples, RATE)
    options = ["-c:a", "libopus", "-application", "voip", "-b:a", str(rate), "-frame_duration", "60"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", folder / "a.wav", *options, folder / "a.opus"], check=True)
    # Packets alone, without Ogg's pages.
    lines = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0", folder / "a.opus"],
                           check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", folder / "a.opus", "-ar", str(RATE), folder / "b.wav"], check=True)
    return sum(int(line.strip(",")) for line in lines), mono(folder / "b.wav")


def through_siskin(program):
    def code(samples, folder, rate):
        sf.write(folder / "a.wav", samples, RATE)
        subprocess.run([program, "encode", "-y", "-q", folder / "a.wav", folder / "a.mka", "--bitrate", str(rate)], check=True)
        line = subprocess.run([program, "info", "--json", folder / "a.mka"], check=True, capture_output=True).stdout
        info = json.loads(line)
        subprocess.run([program, "decode", "-y", "-q", folder / "a.mka", folder / "b.wav"], check=True)
        return info.get("packet_bytes", info["bytes"]), mono(folder / "b.wav")
    return code


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--siskin", default="siskin")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    samples, teacher, rows = clip(args.cache, args.seconds), Teacher(), []
    said = teacher.run(samples)
    decisions = said > 0.5
    print(f"{args.seconds} s, speech in {decisions.mean():.2f} of the chunks", flush=True)

    def add(name, size, found):
        """Agreement as the mean over speech and its absence."""
        same = (found[: len(decisions)] > 0.5) == decisions[: len(found)]
        agreement = np.mean([same[decisions[: len(found)] == kind].mean() for kind in (False, True)])
        rows.append({"sent": name, "bytes_per_second": size / args.seconds, "agreement": round(float(agreement), 4)})
        print(f"{name}: {rows[-1]['bytes_per_second']:.1f} bytes a second, agreement {agreement:.3f}", flush=True)

    # A decision given the one before it.
    pairs = decisions[:-1].astype(int)
    bits = sum(entropy_bits(decisions[1:][pairs == k].astype(int)[:, None]) for k in (0, 1))
    add("the decisions", bits / 8, said)
    steps = np.round(said * 15).astype(int)
    bits = sum(entropy_bits(steps[1:][steps[:-1] == k][:, None]) for k in range(16))
    add("the probabilities in 16 steps", bits / 8, steps / 15)
    features = teacher.front.run(None, {"input": chunks(samples)})[0][:, :, 0]
    mean = features.mean(0)
    _, values, components = np.linalg.svd(features - mean, full_matrices=False)
    for count, steps in ((32, 4), (16, 4), (8, 4), (4, 4), (4, 1.5), (2, 1.5), (2, 0.7), (1, 1.5)):
        kept = components[:count]
        step = values[0] / len(features) ** 0.5 / steps
        integers = np.rint((features - mean) @ kept.T / step).astype(int)
        back = (integers * step) @ kept + mean
        found = teacher.back.run(None, {CUT: back[:, :, None].astype(np.float32), **teacher.state})[0].ravel()
        add(f"features, {count} components in {steps} steps", entropy_bits(integers) / 8, found)
    with tempfile.TemporaryDirectory() as folder:
        coders = [("Opus", through_opus, (6_000, 9_000, 16_000)), ("Siskin", through_siskin(args.siskin), (1_000, 3_000, 6_000))]
        for name, code, rates in coders:
            for rate in rates:
                size, found = code(samples, Path(folder), rate)
                add(f"{name} at {rate} b/s", size, teacher.run(found))
    own = chunks(samples)[:300]
    whole = cpu_ms(lambda: [teacher.whole.run(None, {"input": c[None], **teacher.state}) for c in own]) / 300
    front = cpu_ms(lambda: [teacher.front.run(None, {"input": c[None]}) for c in own]) / 300
    times = {"teacher_ms_per_chunk": whole, "front_ms_per_chunk": front, "front_part": front / whole, "core_share": whole / 32}
    print(times, flush=True)
    if args.out:
        args.out.write_text(json.dumps({"seconds": args.seconds, "rows": rows, "times": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
