"""The exported bundle against the golden vectors of the offline model, and the promises of its manifest."""
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from siskin_models.bundle import Bundle, sha256

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models/bundles/speech-24k"


@pytest.fixture(scope="module")
def bundle():
    return Bundle(FOLDER)


@pytest.fixture(scope="module")
def golden():
    return load_file(ROOT / "testdata/golden/speech-24k.safetensors")


def test_files_have_the_hashes_of_the_manifest():
    info = json.loads((FOLDER / "manifest.json").read_text())
    tables = {info["entropy"]["file"]} if "entropy" in info else set()
    assert set(info["files"]) == {"encoder.onnx", "decoder.onnx", "codebooks.safetensors"} | tables
    for name, digest in info["files"].items():
        assert sha256(FOLDER / name) == digest


def test_codebooks_have_the_shape_of_the_manifest(bundle):
    q = bundle.manifest["quantizer"]
    books = load_file(FOLDER / q["file"])["codebooks"]
    assert books.dtype == np.float16
    assert books.shape == (q["stages"], q["groups"], q["size"], q["dim"] // q["groups"])
    assert np.isfinite(books).all()


def test_graph_signatures_are_static_but_for_the_number_of_frames(bundle):
    hop, dim = bundle.manifest["hop"], bundle.manifest["latent_dim"]
    sizes = {"encoder": (hop, 1), "decoder": (1, hop)}
    for part, input_shape in (("encoder", [1, 1, "input_samples"]), ("decoder", [1, dim, "input_samples"])):
        spec, session = bundle.manifest[part], bundle.sessions[part]
        shapes = {i.name: i.shape for i in session.get_inputs()}
        assert len(spec["states"]) <= 12
        assert shapes.pop(spec["input"]) == input_shape
        assert {s["name"]: s["shape"] for s in spec["states"]} == shapes
        assert (spec["blocks"]["input"], spec["blocks"]["output"]) == sizes[part]


def test_blocks_equal_frames(bundle, golden):
    """All frames in one run, beside one at a time."""
    stream, pcm = bundle.stream("encoder"), golden["pcm"]
    assert np.abs(stream.step(pcm[None, None])[0].T - bundle.latents(pcm)).max() < 1e-5
    stream, latents = bundle.stream("decoder"), np.ascontiguousarray(golden["latents"])
    whole = stream.step(latents[None].astype(np.float32))[0, 0]
    assert np.abs(whole - bundle.synthesise(latents.T)).max() < 1e-4


def test_streaming_encoder_equals_offline(bundle, golden):
    assert np.abs(bundle.latents(golden["pcm"]) - golden["latents"].T).max() < 1e-4


def test_search_finds_the_golden_codes(bundle, golden):
    codes = bundle.search(np.ascontiguousarray(golden["latents"].T))
    assert (codes == golden["codes"].T).mean() > 0.995


@pytest.mark.parametrize("count, key", [("stages", "decoded"), ("default_stages", "decoded_default")])
def test_streaming_decoder_equals_offline(bundle, golden, count, key):
    stages = bundle.manifest["quantizer"]["stages"] if count == "stages" else bundle.manifest[count]
    pcm = bundle.synthesise(bundle.lookup(golden["codes"].T, stages))
    assert np.abs(pcm - golden[key]).max() < 1e-4


def test_snapshots_and_resets_restore_the_stream(bundle, golden):
    rng = np.random.default_rng(3)
    frames = golden["pcm"].reshape(-1, 1, 1, bundle.hop)
    stream, at = bundle.stream("encoder"), 0
    while at < len(frames):
        run = min(int(rng.integers(1, 9)), len(frames) - at)
        saved = stream.snapshot()
        for junk in rng.standard_normal((int(rng.integers(0, 4)), 1, 1, bundle.hop)):
            stream.step(junk.astype(np.float32))
        stream.restore(saved)
        for i in range(at, at + run):
            assert np.abs(stream.step(frames[i])[0, :, 0] - golden["latents"][:, i]).max() < 1e-4
        at += run
    stream.reset()
    assert np.abs(stream.step(frames[0])[0, :, 0] - golden["latents"][:, 0]).max() < 1e-4


def decibels(x):
    return 20 * np.log10(np.sqrt(np.mean(np.square(x))) + 1e-9)


def test_silence_stays_silent(bundle):
    stages = [p["stages"] for p in bundle.manifest["prefixes"]]
    for out in bundle.roundtrip(np.zeros(2 * 24000, np.float32), stages).values():
        assert decibels(out[24000:]) < -60


@pytest.mark.parametrize("level", [0.5, 1.0])
def test_constant_input_stays_bounded(bundle, level):
    out = bundle.roundtrip(np.full(24000, level, np.float32), [bundle.manifest["default_stages"]])
    out = next(iter(out.values()))
    assert np.isfinite(out).all() and np.abs(out).max() < 1.5 * level


def test_full_scale_speech_is_no_louder_than_the_input(bundle, golden):
    pcm = golden["pcm"] / np.abs(golden["pcm"]).max()
    stages = bundle.manifest["default_stages"]
    out = bundle.roundtrip(pcm, [stages])[stages]
    assert np.isfinite(out).all()
    assert decibels(out) < decibels(pcm) + 3
    assert np.abs(out).max() < 1.42


def test_speech_survives(bundle, golden):
    """A floor well under the published figures: catches a bundle exported from the wrong checkpoint."""
    pcm, most = golden["pcm"], bundle.manifest["quantizer"]["stages"]
    out = bundle.roundtrip(pcm, [1, most])
    correlation = {n: float(out[n] @ pcm / np.sqrt((out[n] @ out[n]) * (pcm @ pcm))) for n in out}
    assert correlation[most] > 0.7
    assert correlation[most] > correlation[1]
