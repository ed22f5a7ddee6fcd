"""Lyra V2 as a bundle against TensorFlow Lite, from the published files and on speech.

    SISKIN_LYRA_DIR=FOLDER pytest -s models/tests/test_imports_lyra.py

prints the figures of docs/imports.md. FOLDER has the three `.tflite` files of Lyra 1.3.2. `SISKIN_LYRA_SPEECH` may name a folder
of FLAC files to take in place of the repository's clips, and `SISKIN_LYRA_SPEED=1` compares the time as well: it needs the
example in release mode and a machine that does nothing else.
"""
import os
import resource
import subprocess
import time
from math import gcd
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

ROOT = Path(__file__).resolve().parents[2]
FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")
HOP, RATE, DIM, STAGES = 320, 16_000, 64, 46
# 3.2, 6 and 9.2 kb/s.
RATES = (16, 30, 46)
# Samples and frames of tokens that are pushed at once.
CUT = "777:1"
PROGRAM = ("cargo", "run", "--quiet", "-p", "siskin-import", "--example", "run_checkpoint", "--")


def published():
    folder = Path(os.environ.get("SISKIN_LYRA_DIR") or "missing")
    absent = [name for name in FILES if not (folder / name).exists()]
    if absent:
        pytest.skip(f"Lyra's weights are not here: SISKIN_LYRA_DIR is a folder with {', '.join(absent)}")
    return folder


class Lite:
    """The published files in TensorFlow Lite, one thread, a frame at a time."""

    def __init__(self, folder):
        lite = pytest.importorskip("ai_edge_litert.interpreter")
        self.encoder, self.quantizer, self.decoder = (lite.Interpreter(str(folder / n), num_threads=1) for n in FILES)
        for network in (self.encoder, self.decoder):
            network.allocate_tensors()
        self.search = self.quantizer.get_signature_runner("encode")
        self.look_up = self.quantizer.get_signature_runner("decode")

    def run(self, network, values):
        target = network.get_input_details()[0]
        network.set_tensor(target["index"], values.reshape(target["shape"]))
        network.invoke()
        return network.get_tensor(network.get_output_details()[0]["index"]).reshape(-1)

    def encode(self, pcm):
        """Codes `[frame][stage]` of all stages."""
        codes = []
        for frame in pcm.reshape(-1, HOP):
            latent = self.run(self.encoder, frame).reshape(1, 1, DIM)
            found = self.search(input_frames=latent, num_quantizers=np.array(STAGES, np.int32))
            codes.append(found["output_0"].reshape(-1))
        return np.array(codes)

    def decode(self, codes):
        out = []
        for frame in codes:
            # -1 stands for a stage that was not sent.
            sent = np.full((STAGES, 1, 1), -1, np.int32)
            sent[: len(frame), 0, 0] = frame
            out.append(self.run(self.decoder, self.look_up(encoding_indices=sent)["output_0"]))
        return np.concatenate(out)


def speech():
    """Clips of speech at 16 kHz in whole frames, of 16 bits as Lyra takes them."""
    signal = pytest.importorskip("scipy.signal")
    folder = os.environ.get("SISKIN_LYRA_SPEECH")
    found = sorted(Path(folder).glob("*.flac")) if folder else sorted((ROOT / "testdata/clips").glob("speech-*.flac"))
    assert found, f"no FLAC files in {folder}"
    clips = []
    for path in found:
        pcm, rate = sf.read(path)
        pcm = signal.resample_poly(pcm, RATE // gcd(rate, RATE), rate // gcd(rate, RATE))
        pcm = np.pad(pcm, (0, -len(pcm) % HOP))
        clips.append((np.round(np.clip(pcm, -1, 32767 / 32768) * 32768) / 32768).astype("<f4"))
    return clips


@pytest.fixture(scope="module")
def lyra(tmp_path_factory):
    """The published files, and what the bundle makes of the clips: codes and samples of each rate."""
    folder, clips, work = published(), speech(), tmp_path_factory.mktemp("lyra")
    lite = Lite(folder)
    pcm = np.concatenate(clips)
    pcm.tofile(work / "pcm")
    runs = {}
    for stages in RATES:
        run_program(folder, work, stages)
        codes = np.fromfile(work / f"codes-{CUT}", "<i8").reshape(-1, stages)
        runs[stages] = codes, np.fromfile(work / f"samples-{CUT}", "<f4")
    return folder, clips, pcm, lite.encode(pcm), runs, work


def run_program(folder, work, stages, pcm="pcm", program=PROGRAM):
    """Codes and samples of `work/pcm` by way of the bundle; the processor's time in user mode."""
    env = {**os.environ, "SISKIN_DEV_ROOT": str(ROOT)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    places = [str(folder), str(work / "bundle"), str(work / pcm)]
    subprocess.run([*program, "lyra", *places, str(stages), str(work), CUT], cwd=ROOT, env=env, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def test_codes_are_those_of_the_published_networks(lyra):
    _, _, pcm, published_codes, runs, _ = lyra
    for stages, (codes, _) in runs.items():
        equal = codes == published_codes[:, :stages]
        assert codes.shape == (len(pcm) // HOP, stages)
        first = equal[:, :8].all(1).mean()
        whole = equal.all(1).mean()
        print(f"{stages * 0.2:.1f} kb/s, {len(codes)} frames: first 8 stages equal in {first:.2%}, all in {whole:.2%}")
        assert first >= 0.99


def test_samples_are_those_of_the_published_networks_from_the_same_codes(lyra):
    folder, _, pcm, _, runs, _ = lyra
    for stages, (codes, out) in runs.items():
        # A network of its own: the states of one lie in it, and there is no way to reset all of them.
        expected = Lite(folder).decode(codes)
        assert len(out) == len(expected) == len(pcm)
        error = 10 * np.log10(np.sum((out - expected) ** 2) / np.sum(expected**2))
        print(f"{stages * 0.2:.1f} kb/s: {error:.1f} dB")
        assert error <= -45


def test_quality_is_that_of_the_published_codec(lyra):
    pesq = pytest.importorskip("pesq").pesq
    folder, clips, _, published_codes, runs, _ = lyra
    for stages, (_, out) in runs.items():
        expected, at, scores = Lite(folder).decode(published_codes[:, :stages]), 0, []
        for clip in clips:
            part = slice(at, at + len(clip))
            scores.append([pesq(RATE, clip, x[part], "wb") for x in (out, expected)])
            at += len(clip)
        ours, theirs = np.mean(scores, 0)
        print(f"{stages * 0.2:.1f} kb/s, {len(clips)} clips: PESQ {ours:.3f}, published {theirs:.3f}")
        assert abs(ours - theirs) <= 0.02


def test_time_is_near_that_of_tensorflow_lite(lyra):
    if os.environ.get("SISKIN_LYRA_SPEED") != "1":
        pytest.skip("SISKIN_LYRA_SPEED=1 compares the time")
    folder, _, pcm, _, _, work = lyra
    program = (*PROGRAM[:2], "--release", *PROGRAM[2:])
    long = np.tile(pcm, 6)
    long.tofile(work / "long")
    pcm[: 10 * HOP].tofile(work / "short")
    ratios = []
    for _ in range(5):
        ours = [run_program(folder, work, STAGES, name, program) for name in ("long", "short")]
        lite = Lite(folder)
        start = time.process_time()
        lite.decode(lite.encode(long))
        theirs = time.process_time() - start
        # Of the whole process without what it takes to start.
        ratios.append((ours[0] - ours[1]) / theirs)
        frames = len(long) // HOP
        print(f"{1000 * (ours[0] - ours[1]) / frames:.3f} ms a frame, TensorFlow Lite from Python {1000 * theirs / frames:.3f}")
    print(f"ratio: {np.round(sorted(ratios), 2)}")
    assert np.median(ratios) <= 1.5
