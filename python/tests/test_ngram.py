"""The loop of a language model: learn, take a prompt out of a file, go on, and be heard as it goes."""
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import siskin

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models"))

from ngram import NGram  # noqa: E402


def speech(name):
    """A test clip at 24 kHz; FFmpeg reads FLAC."""
    command = ["ffmpeg", "-v", "error", "-i", ROOT / "testdata/clips" / name, "-f", "f32le", "-ac", "1", "-ar", "24000", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


@pytest.fixture(scope="module")
def encoder():
    return siskin.Encoder(stages=1)


@pytest.fixture(scope="module")
def clips(encoder):
    return {name: encoder.encode(speech(f"speech-{name}.flac")) for name in ("be", "fr-female", "it-male")}


@pytest.fixture(scope="module")
def lm(encoder, clips):
    halves = [codes[:, :codes.shape[1] * 3 // 4] for codes in clips.values()]
    return NGram(encoder.codes_per_frame, encoder.groups, encoder.codebook_size).train(halves)


def test_it_has_learnt_what_codes_follow(lm, clips, encoder):
    # The speaker whose first stage repeats itself most: a few seconds teach little of the others.
    held_out = clips["fr-female"][:, clips["fr-female"].shape[1] * 3 // 4:]
    nothing = NGram(encoder.codes_per_frame, encoder.groups, encoder.codebook_size)
    assert np.isclose(nothing.bits(held_out), np.log2(encoder.codebook_size))
    assert lm.bits(held_out) < nothing.bits(held_out) - 0.3
    shuffled = np.random.default_rng(1).permuted(held_out, axis=1)
    assert lm.bits(held_out) < lm.bits(shuffled), "order matters"


def test_probabilities_are_probabilities(lm, clips):
    codes = clips["be"].T.astype(np.int64)
    contexts = lm.contexts(codes)
    for t, k in ((0, 0), (7, 1), (20, lm.codebooks - 1)):
        p = lm.distribution([c[t, k] for c in contexts])
        assert np.isclose(p.sum(), 1) and p.min() > 0


def test_a_prompt_in_a_file_is_gone_on_from(lm, clips, tmp_path):
    siskin.save(tmp_path / "prompt.safetensors", clips["be"], {"id": "be"}, model="speech-24k")
    lm.save(tmp_path / "lm.npz")
    again, (prompt, meta) = NGram.load(tmp_path / "lm.npz"), siskin.load(tmp_path / "prompt.safetensors")
    assert meta["model"] == "speech-24k"

    def generate(model, codes, count=20):
        return np.stack([f for f, _ in zip(model.frames(codes, np.random.default_rng(5)), range(count))], 1)

    frames = generate(again, prompt)
    assert np.array_equal(frames, generate(lm, clips["be"])), "in memory and out of files alike"
    assert frames.shape == (lm.codebooks, 20) and frames.max() < lm.size
    assert not np.array_equal(frames, generate(lm, clips["it-male"])), "the prompt matters"


def test_the_command_speaks_while_it_generates(encoder, lm, clips, tmp_path):
    count, hop = int(encoder.frame_rate), encoder.hop
    siskin.save(tmp_path / "prompt.safetensors", clips["be"], model="speech-24k")
    lm.save(tmp_path / "lm.npz")
    run = [sys.executable, ROOT / "models/ngram.py", "continue", "--lm", tmp_path / "lm.npz", "--prompt",
           tmp_path / "prompt.safetensors", "--seconds", "1", "--out", tmp_path / "more.wav", "--codes",
           tmp_path / "more.safetensors"]
    done = subprocess.run([str(part) for part in run], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and f"{count} frames, 0 lost" in done.stdout, done.stderr
    with wave.open(str(tmp_path / "more.wav")) as sound:
        assert sound.getnframes() == count * hop and sound.getframerate() == encoder.sample_rate
        pcm = np.frombuffer(sound.readframes(count * hop), "<i2")
    assert np.abs(pcm).max() > 100
    codes, _ = siskin.load(tmp_path / "more.safetensors")
    assert codes.shape == (lm.codebooks, count)
    decoder = siskin.Decoder()
    decoder.push(clips["be"][:, -50:])
    assert np.array_equal((np.clip(decoder.push(codes), -1, 1) * 32767).astype("<i2"), pcm), "bit for bit"
