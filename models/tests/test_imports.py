"""Bundles that Siskin makes of published checkpoints against the published implementations, with seeded random weights of
the released sizes: the same codes, and samples within 1e-4 of the peak, at several ways of cutting the input.

`./x test-imports` installs what this needs (PyTorch and the published packages, 3 GB) and runs it.
"""

import importlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("SISKIN_RUN_CHECKPOINT", ROOT / "target/debug/examples/run_checkpoint"))

# Modules of `published`, and the packages that they need.
CODECS = {
    "encodec": ("encodec", "transformers"),
    "encodec_stereo": ("encodec", "transformers"),
    "mimi": ("moshi", "transformers"),
    "dac": ("dac", "transformers"),
    "snac": ("snac",),
    "vocos": ("vocos", "encodec"),
    "hificodec": (),
    "hilcodec": (),
}
MODULES = {
    name: importlib.import_module(f"published.{name}")
    for name, packages in CODECS.items()
    if all(importlib.util.find_spec(package) for package in packages)
}
if os.environ.get("SISKIN_ALL_CODECS"):
    assert len(MODULES) == len(CODECS), f"packages are missing of {sorted(set(CODECS) - set(MODULES))}"
CASES = [(name, layout) for name, module in MODULES.items() for layout in module.LAYOUTS]

if not MODULES:
    pytest.skip("the published packages are not installed (./x test-imports installs them)", allow_module_level=True)

# Samples a push, and frames of tokens a push: one sample short of a frame, uneven parts, all at once.
CUTS = ["319:1", "777:3", "100000000:1000"]


def run_siskin(published, folder):
    """Codes `[code of a frame, frame]` and samples for each of the cuts."""
    if published.encoder:
        encoder = published.encoder
        run_program(encoder.kind, encoder.checkpoint, folder / "encoder", encoder.pcm[:320], 1, folder, [])
    tokens = len(published.codes)
    stages = published.stages or tokens
    run_program(published.kind, published.checkpoint, folder / "bundle", published.pcm, stages, folder, CUTS)
    for cut in CUTS:
        codes = np.fromfile(folder / f"codes-{cut}", "<i8").reshape(-1, tokens).T
        scales = np.fromfile(folder / f"scales-{cut}", "<f4")
        yield cut, codes, np.fromfile(folder / f"samples-{cut}", "<f4"), scales


def run_program(kind, checkpoint, bundle, pcm, stages, folder, cuts):
    (folder / "pcm").write_bytes(pcm.astype("<f4").tobytes())
    arguments = [kind, checkpoint, bundle, folder / "pcm", str(stages), folder, *cuts]
    subprocess.run([PROGRAM, *arguments], check=True, env={"SISKIN_DEV_ROOT": str(ROOT), **os.environ})


def segments_in_common(published, codes, samples, scales):
    """Codes and samples as far as the published implementation goes, whose segments begin with ours and have the same scales."""
    count = len(published.scales)
    assert count <= len(scales) and np.allclose(scales[:count], published.scales, rtol=1e-6, atol=0)
    assert len(samples) == len(published.pcm)
    return codes[:, : published.codes.shape[1]], samples[: len(published.decoded)]


@pytest.mark.parametrize(("codec", "layout"), CASES)
def test_equal_to_the_published_codec(codec, layout):
    import torch

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        folder = Path(folder)
        published = MODULES[codec].LAYOUTS[layout](folder)
        frames = published.codes.shape[1]
        varied = [len(np.unique(codes)) for codes in published.codes]
        assert np.mean(varied) > frames**0.5, varied  # codes that say something
        peak = np.abs(published.decoded).max()
        assert peak > 0.01
        for cut, codes, samples, scales in run_siskin(published, folder):
            if published.scales is not None:
                codes, samples = segments_in_common(published, codes, samples, scales)
            assert codes.shape == published.codes.shape, cut
            compared = frames - published.tail[0]
            wrong = np.argwhere(codes[:, :compared] != published.codes[:, :compared])
            assert not len(wrong), f"{cut}: {len(wrong)} of {codes.size} codes differ, first [stage, frame] {wrong[0]}"
            count = len(published.decoded)
            whole = len(published.pcm) if published.scales is None else count
            assert len(samples) == whole and 0 <= len(samples) - count <= 8, cut
            if count < len(samples):
                # DAC's own transposed convolutions of odd strides end early, so their last samples see zeros earlier: the
                # layers after them reach 441 samples.
                count -= 441
            count -= published.tail[1]
            difference = np.abs(samples[:count] - published.decoded[:count])
            assert difference.max() <= 1e-4 * peak, f"{cut}: {difference.max():.2e} at {difference.argmax()}, peak {peak:.3f}"
        # With `pytest -s`, for docs/imports.md.
        print(f"\n{codec} {layout}: {codes.size} codes, samples within {difference.max() / peak:.1e} of the peak")


def test_ecdc_files_of_48_khz_go_into_packets_and_tokens_without_loss():
    if "encodec_stereo" not in MODULES:
        pytest.skip("encodec is not installed")
    import torch
    from encodec import EncodecModel, compress

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        folder = Path(folder)
        module = MODULES["encodec_stereo"]
        samples = module.STRIDE + 500
        published = module.of_authors(folder, samples, stages=4)
        model = EncodecModel.encodec_model_48khz(pretrained=False).eval()
        model.load_state_dict(torch.load(published.checkpoint))
        model.set_target_bandwidth(6.0)
        model.name = "encodec_48khz"  # as the pretrained one is called in its files
        data = compress(model, module.stereo(samples)[0])
        (folder / "sound.ecdc").write_bytes(data)
        run_program("encodec", published.checkpoint, folder / "bundle", published.pcm, 4, folder, [])
        siskin = os.environ.get("SISKIN_PROGRAM", str(ROOT / "target/debug/siskin"))

        def run(*arguments):
            found = {"SISKIN_DEV_ROOT": str(ROOT), **os.environ, "SISKIN_BUNDLES": str(folder)}
            subprocess.run([siskin, *arguments], check=True, env=found)

        bundle, coded, tokens = folder / "bundle", folder / "sound.mka", folder / "sound.jsonl"
        run("tokens", "import", "-m", bundle, folder / "sound.ecdc", coded, "--quiet")
        run("tokens", "export", coded, tokens, "--quiet")
        line = json.loads(tokens.read_text())
        assert np.array_equal(line["codes"], published.codes) and line["samples"] == samples
        assert np.array_equal(np.float32(line["scales"]), published.scales)
        run("decode", "--float", coded, folder / "sound.f32", "--quiet")
        decoded = np.fromfile(folder / "sound.f32", "<f4")
        assert np.abs(decoded - published.decoded).max() <= 1e-4 * np.abs(published.decoded).max()
