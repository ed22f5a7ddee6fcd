#!/usr/bin/env python3
"""CPU time and memory of coding speech with Siskin's own bundle, beside another build of the program and beside Lyra V2.

    scripts/audio_speed.py [--siskin target/release/siskin] [--old OTHER/siskin] [--lyra FOLDER] [--seconds 120] [--runs 3]

Needs NumPy and soundfile; Lyra, whose folder has the three `.tflite` files of version 1.3.2, also ai-edge-litert. One thread
each, the programs in turn in each run, the least of the runs. Start-up is taken off by the difference of a long and a short file,
and shown apart. CPU is milliseconds per second of sound, in user mode and in the kernel; memory the peak of the long file.
`--old` needs the bundles that it was built for (`--old-root`, a checkout, if they differ from this one's).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

ROOT = Path(__file__).resolve().parent.parent
RATE, SHORT = 24000, 10
# Name, arguments before the files, what the input is, ending of the output.
WORK = [
    ("tokens export, 6 stages", ["tokens", "export", "--stages", "6"], "speech.wav", "npy"),
    ("encode, VBR at 6 kb/s", ["encode", "-b", "6k"], "speech.wav", "mka"),
    ("encode, 6 stages", ["encode", "--stages", "6"], "speech.wav", "mka"),
    ("decode", ["decode"], "coded.mka", "wav"),
    ("encode, one frame a packet", ["encode", "--stages", "6", "--frames-per-packet", "1"], "speech.wav", "mka"),
    ("decode, one frame a packet", ["decode"], "live.mka", "wav"),
]


def speech(seconds, rate=RATE):
    """The repository's clips of speech, one after another, as often as needed."""
    clips = []
    for path in sorted((ROOT / "testdata/clips").glob("speech-*.flac")):
        pcm, own = sf.read(path, dtype="float64")
        count = round(len(pcm) * rate / own)
        clips.append(np.interp(np.arange(count) * own / rate, np.arange(len(pcm)), pcm))
    pcm = np.concatenate(clips)
    return np.resize(pcm, seconds * rate).astype(np.float32)


def measure(command, environment):
    """CPU seconds and peak memory in MB of a command."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Program:
    def __init__(self, path, root, folder):
        self.path = str(Path(path).resolve())
        self.environment = {**os.environ, "SISKIN_DEV_ROOT": str(root), "OMP_NUM_THREADS": "1"}
        self.folder = folder
        folder.mkdir()

    def prepare(self, seconds):
        """Files of `seconds` seconds: speech, and what this program makes of it."""
        folder = self.folder / str(seconds)
        folder.mkdir()
        sf.write(folder / "speech.wav", speech(seconds), RATE, subtype="PCM_16")
        for name, packets in (("coded.mka", []), ("live.mka", ["--frames-per-packet", "1"])):
            self.run(["encode", "-b", "6k", *packets], folder / "speech.wav", folder / name)

    def run(self, arguments, source, target):
        return measure([self.path, *arguments, "-y", "--quiet", str(source), str(target)], self.environment)

    def measure(self, work, long):
        """Milliseconds a second of sound, start-up in milliseconds, and peak memory in MB."""
        _, arguments, source, ending = work
        spent = [self.run(arguments, self.folder / str(s) / source, self.folder / f"out.{ending}") for s in (SHORT, long)]
        each = (spent[1][0] - spent[0][0]) / (long - SHORT)
        return 1e3 * each, 1e3 * (spent[0][0] - SHORT * each), spent[1][1]


class Lyra:
    """The published networks in TensorFlow Lite. Their runs count, of the quantizer's also what its runner does in Python."""

    HOP, LYRA_RATE, STAGES, ALL = 320, 16000, 30, 46

    def __init__(self, folder):
        import ai_edge_litert.interpreter as lite

        names = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")
        self.encoder, self.quantizer, self.decoder = (lite.Interpreter(str(folder / n), num_threads=1) for n in names)
        self.encoder.allocate_tensors()
        self.decoder.allocate_tensors()
        self.search, self.look_up = (self.quantizer.get_signature_runner(n) for n in ("encode", "decode"))

    def measure(self, seconds):
        """Milliseconds a second of sound to encode and to decode, at 6 kb/s."""
        spent = {"encode": 0.0, "decode": 0.0}

        def timed(kind, call, **values):
            start = time.process_time()
            result = call(**values)
            spent[kind] += time.process_time() - start
            return result

        def invoke(kind, network, values):
            target = network.get_input_details()[0]
            network.set_tensor(target["index"], values.reshape(target["shape"]))
            timed(kind, network.invoke)
            return network.get_tensor(network.get_output_details()[0]["index"])

        pcm = speech(seconds, self.LYRA_RATE)
        for frame in pcm.reshape(-1, self.HOP):
            latent = invoke("encode", self.encoder, frame).reshape(1, 1, -1)
            stages = np.array(self.STAGES, np.int32)
            codes = timed("encode", self.search, input_frames=latent, num_quantizers=stages)["output_0"]
            sent = np.full((self.ALL, 1, 1), -1, np.int32)
            sent[: self.STAGES, 0, 0] = codes.reshape(-1)[: self.STAGES]
            latent = timed("decode", self.look_up, encoding_indices=sent)["output_0"]
            invoke("decode", self.decoder, latent)
        return [1e3 * spent[kind] / seconds for kind in ("encode", "decode")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--siskin", type=Path, default=ROOT / "target/release/siskin")
    parser.add_argument("--old", type=Path, help="another build of the program")
    parser.add_argument("--old-root", type=Path, default=ROOT, help="its checkout")
    parser.add_argument("--lyra", type=Path)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    lyra = Lyra(args.lyra) if args.lyra else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        programs = [Program(args.siskin, ROOT, folder / "new")]
        if args.old:
            programs.append(Program(args.old, args.old_root, folder / "old"))
        for program in programs:
            for seconds in (SHORT, args.seconds):
                program.prepare(seconds)
        found = [[] for _ in WORK]
        peer = []
        for _ in range(args.runs):
            for work, rows in zip(WORK, found):
                rows.append([program.measure(work, args.seconds) for program in programs])
            if lyra:
                peer.append(lyra.measure(min(args.seconds, 20)))
        columns = ["ms/s", "start-up, ms", "peak, MB"] + (["old ms/s", "old start-up", "old peak", "old / new"] if args.old else [])
        print("| work | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
        best = [np.min(np.array(rows), 0) for rows in found]
        for (name, *_), values in zip(WORK, best):
            cells = [f"{v:.1f}" for program in values for v in program]
            cells += [f"{values[1][0] / values[0][0]:.1f}"] if args.old else []
            print(f"| {name} | " + " | ".join(cells) + " |")
        if lyra:
            encode, decode = np.min(np.array(peer), 0)
            print(f"\nLyra V2 at 6 kb/s: encode {encode:.1f} ms/s, decode {decode:.1f} ms/s; Siskin's VBR at 6 kb/s takes "
                  f"{best[1][0][0] / encode:.2f} and {best[3][0][0] / decode:.2f} of that")


if __name__ == "__main__":
    main()
