"""The codec of general sound: graphs against the model, what its parts do, a training run on a tiny corpus. Needs torch."""
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_torch import stream  # noqa: E402

from siskin_models.arch import zero_states  # noqa: E402
from siskin_models.bundle import Bundle  # noqa: E402
from siskin_models.codec import load, load_bundle  # noqa: E402
from siskin_models.export_stereo import stereo_decoder_graph, stereo_encoder_graph, stereo_half_weights  # noqa: E402
from siskin_models.stereo import StereoConfig, StereoDecoder, StereoEncoder, transform, turn  # noqa: E402

MODELS = Path(__file__).resolve().parents[1]
SMALL = dict(enc_width=24, dec_width=32, enc_depth=2, dec_depth=2, latent=16)


def shaken(part):
    """Random weights in place of beginnings that do nothing."""
    torch.manual_seed(1)
    part = part(StereoConfig(**SMALL)).eval()
    with torch.no_grad():
        for p in part.parameters():
            p.add_(0.05 * torch.randn_like(p))
        if hasattr(part, "level"):
            part.level.bias.add_(5)
    return part


def test_graphs_equal_the_model():
    encoder, decoder = shaken(StereoEncoder), shaken(StereoDecoder)
    c, pcm = encoder.c, 0.3 * torch.randn(1, 2, 20 * 960)
    with torch.no_grad():
        graph = stereo_encoder_graph(c, stereo_half_weights(encoder), encoder.state_shapes)
        z = encoder(pcm, zero_states(encoder, 1))[0]
        for frames in (1, 3, 20):
            got = stream(graph, "pcm", pcm.numpy(), c.hop, frames)
            assert np.abs(got[0].T - z[0].numpy()).max() < 1e-4
        graph = stereo_decoder_graph(c, stereo_half_weights(decoder), decoder.state_shapes)
        y = decoder(z, zero_states(decoder, 1))[0]
        assert y.std() > 0.01
        for frames in (1, 3, 20):
            got = stream(graph, "latents", np.ascontiguousarray(z.numpy().transpose(0, 2, 1)), 1, frames)
            assert np.abs(got - y.numpy()).max() < 1e-4


def test_the_transform_gives_back_mid_and_side():
    encoder, decoder = shaken(StereoEncoder), shaken(StereoDecoder)
    pcm = torch.randn(2, 2, 960 * 6)
    coefs, _ = transform(turn(pcm, 1), torch.zeros(2, 2, 960), encoder.window, 960)
    back = turn(decoder.synthesise(coefs, torch.zeros(2, 2, 960))[0], 1)
    assert (back[..., 960:] - pcm[..., :-960]).abs().max() < 1e-5


def test_draws_are_what_is_decoded_from_a_direction():
    decoder = shaken(StereoDecoder)
    z = torch.randn(1, 8, 16)
    with torch.no_grad():
        decoder.level.bias.fill_(-30)
        both = turn(decoder(z, zero_states(decoder, 1))[0], 1)
        for way in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8]):
            way = torch.tensor([way])
            assert torch.allclose(decoder.draws(z, way)[1], torch.einsum("bcn,bc->bn", both, way), atol=1e-5)


def test_what_is_panned_is_in_one_channel():
    """With the side equal to the mid there is nothing on the right."""
    coefs = torch.randn(1, 4, 1, 960)
    coefs = torch.cat([coefs, torch.zeros_like(coefs)], 2)
    left, right = turn(StereoDecoder.panned(coefs, torch.ones(1, 4, 960)).transpose(1, 2), 1).unbind(1)
    assert right.abs().max() < 1e-6 < left.abs().max()


@pytest.fixture
def corpus(tmp_path):
    rng, time = np.random.default_rng(0), np.arange(48000 * 4) / 48000
    left = sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330)) * (0.3 + 0.1 * np.sin(5 * time))
    pcm = np.stack([left, 0.5 * left + 0.1 * rng.standard_normal(len(time))], 1)
    (tmp_path / "corpus.i16").write_bytes((6000 * pcm).astype("<i2").tobytes() * 2)
    rows = [{"kind": kind, "source": "s", "file": kind, "split": "train", "offset": i * len(pcm), "samples": len(pcm)}
            for i, kind in enumerate(("music", "sound"))]
    (tmp_path / "index.json").write_text(json.dumps(rows))
    return tmp_path


def test_a_run_passes_its_phases_resumes_and_becomes_a_bundle(corpus):
    def run(*command):
        done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ["--corpus", corpus, "--speech", corpus / "none", "--out", corpus / "run", "--batch", 4, "--frames", 24,
               "--threads", 1, "--stages", 3, "--groups", 2, "--size", 32, "--continuous", 0.3, "--freeze", 0.6, "--log-every", 5,
               "--set", *(f"{k}={v}" for k, v in SMALL.items())]
    run(MODELS / "train_stereo.py", *options, "--steps", 20)
    rows = list(csv.DictReader(open(corpus / "run/loss.csv")))
    assert [r["phase"] for r in rows] == ["1", "2", "3", "3"]
    assert all(np.isfinite(float(r["distance"])) for r in rows)
    assert "resumed at step 20" in run(MODELS / "train_stereo.py", *options, "--steps", 25)
    run(MODELS / "export.py", "--checkpoint", corpus / "run/last.pt", "--out", corpus / "small-48k",
        "--golden", corpus / "golden.safetensors", "--clip", MODELS.parent / "testdata/clips/music.flac")
    bundle, codec = Bundle(corpus / "small-48k"), load(corpus / "run/last.pt")[0]
    assert bundle.manifest["channels"] == 2 and codec.config.sample_rate == bundle.manifest["sample_rate"] == 48000
    pcm = np.random.default_rng(1).normal(0, 0.1, (2, 960 * 9)).astype(np.float32)
    assert bundle.roundtrip(pcm, [3])[3].shape == pcm.shape
    with torch.no_grad():
        z = codec.encode(torch.from_numpy(pcm)[None])[0].numpy()
    assert np.abs(bundle.latents(pcm) - z).max() < 0.02
    options[options.index(corpus / "run")] = corpus / "more"
    # It begins with the weights and codebooks of the bundle, quantised: at this rate they stay what they were.
    run(MODELS / "train_stereo.py", *options, "--steps", 5, "--freeze", 1, "--rate", 1e-12, "--start", corpus / "small-48k")
    more = list(csv.DictReader(open(corpus / "more/loss.csv")))
    assert more[0]["phase"] == "2" and np.isfinite(float(more[0]["distance"]))
    begun, first = load(corpus / "more/last.pt")[0], load_bundle(corpus / "small-48k")
    for (name, got), wanted in zip(begun.named_parameters(), first.parameters()):
        assert (got - wanted).abs().max() < 1e-6, name
