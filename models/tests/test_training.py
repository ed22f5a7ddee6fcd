"""The training program on a tiny corpus: every phase runs, a stopped run goes on, losses fall. Needs torch."""
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip("torch")

from entropy import use  # noqa: E402

from siskin_models.arch import mdct  # noqa: E402
from siskin_models.balancer import Balancer  # noqa: E402
from siskin_models.bundle import Bundle  # noqa: E402
from siskin_models.codec import load, load_bundle  # noqa: E402
from siskin_models.data import Corpus  # noqa: E402
from siskin_models.frameloss import DECAY, burst_mask, lose_frames  # noqa: E402
from siskin_models.growth import widen_latents  # noqa: E402
from siskin_models.loudness import Disturbance  # noqa: E402
from siskin_models.quantizer import decode  # noqa: E402
from siskin_models.room import response, reverberate  # noqa: E402
from siskin_models.stages import draw_stages, sum_stages, variable_stages  # noqa: E402

MODELS = Path(__file__).resolve().parents[1]
SMALL = ["enc_width=16", "dec_width=16", "enc_depth=1", "dec_depth=1", "latent=8"]


@pytest.fixture
def corpus(tmp_path):
    rng = np.random.default_rng(0)
    time = np.arange(24000 * 8) / 24000
    pitch = np.cumsum(120 + 20 * np.sin(3 * time)) / 24000
    voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 9)) * (0.2 + 0.1 * np.sin(7 * time))
    pcm = voice + 0.01 * rng.standard_normal(len(time))
    (tmp_path / "corpus.i16").write_bytes((8000 * pcm).astype("<i2").tobytes())
    row = {"kind": "speech", "source": "s", "speaker": "a", "split": "train", "offset": 0, "samples": len(pcm)}
    (tmp_path / "index.json").write_text(json.dumps([row]))
    return tmp_path


def train(corpus, *options):
    command = [sys.executable, str(MODELS / "train.py"), "--corpus", str(corpus), "--out", str(corpus / "run"),
               "--batch", "4", "--frames", "24", "--threads", "1", "--stages", "2", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_phases_run_and_resume(corpus):
    options = ["--steps", "30", "--continuous", "0.3", "--freeze", "0.6", "--adversary", "0.9", "--log-every", "5",
               "--size", "32", "--set", *SMALL]
    train(corpus, *options)
    rows = list(csv.DictReader(open(corpus / "run/loss.csv")))
    assert [r["phase"] for r in rows] == ["1", "2", "2", "3", "3", "4"]
    assert all(np.isfinite(float(r["heard"])) for r in rows)
    assert rows[-1]["adversary"] and not rows[0]["adversary"]
    options[1] = "40"
    assert "resumed at step 30" in train(corpus, *options)
    saved = torch.load(corpus / "run/last.pt")
    assert saved["step"] == 40 and saved["books"].shape == (2, 2, 32, 4)


def test_a_run_without_an_end_starts_from_a_checkpoint(corpus):
    """The rate stays, averages of weights and codebooks are what it gives on, and what it starts from may be shrunk."""
    options = ["--size", "32", "--log-every", "5", "--constant", "--wide", "--mixed", "0.5", "--levels", "0.5", "--distance",
               "1.5", "--average", "0.9"]
    train(corpus, "--steps", "10", "--continuous", "0.2", "--freeze", "1", "--set", *SMALL, *options)
    first = torch.load(corpus / "run/last.pt")
    assert first["optimizer"]["param_groups"][0]["lr"] == pytest.approx(1.5e-3 * 10 / 200)
    live = torch.stack([first["model"][f"quantizer.groups.{g}.books"] for g in (0, 1)], 1)
    assert 0 < (first["books"] - live).abs().max() < live.abs().max()
    shrunk = subprocess.run([sys.executable, str(MODELS / "shrink.py"), str(corpus / "run/last.pt"), str(corpus / "small.pt")],
                            capture_output=True, text=True)
    assert shrunk.returncode == 0, shrunk.stderr
    whole, small = load(corpus / "run/last.pt")[0], load(corpus / "small.pt")[0]
    assert 0 < (whole.quantizer.books - small.quantizer.books).abs().max() < 0.005 * whole.quantizer.books.abs().max()
    shutil.rmtree(corpus / "run")
    train(corpus, "--steps", "5", "--start", str(corpus / "small.pt"), "--freeze", "1", "--rate", "1e-9", *options)
    second = torch.load(corpus / "run/last.pt")
    assert second["phase"] == 2
    for name, value in first["average"].items():
        assert torch.allclose(second["model"][name], value, atol=1e-3)


def test_wider_latents_say_what_the_old_ones_said(corpus):
    old = load_bundle(MODELS / "bundles/speech-24k").eval()
    pcm = Corpus(corpus).batch(np.random.default_rng(1), 16, 480 * 40)
    with pytest.raises(ValueError, match="skip 0, wanted 1"):
        widen_latents(load_bundle(MODELS / "bundles/speech-24k", latent=96), 64, pcm)
    wide = load_bundle(MODELS / "bundles/speech-24k", latent=96, skip=1).eval()
    assert not wide.quantizer.books.any()
    widen_latents(wide, 64, pcm)
    with torch.no_grad():
        z, more = old.encode(pcm), wide.encode(pcm)
        said, wanted = (mdct(c.decoder.draws(q)[0][:, 240:], torch.zeros(16, 1, 240), c.encoder.basis, 480)[0]
                        for c, q in ((wide, more), (old, z)))
    share = more[..., 64:].var((0, 1)).mean() / more[..., :64].var((0, 1)).mean()
    assert 0.1 < share < 0.3, share
    # Below 1.5 kHz and above 2.3 kHz nothing has changed; between them there is the waveform.
    truth = mdct(pcm[:, :-240], torch.zeros(16, 1, 240), old.encoder.basis, 480)[0]
    for bins, same in ((slice(58), True), (slice(60, 92), False), (slice(94, 480), True)):
        power = truth[..., bins].pow(2).mean()
        if same:
            assert (said - wanted)[..., bins].pow(2).mean() < 0.02 * power
        else:
            assert (said - truth)[..., bins].pow(2).mean() < 0.5 * (wanted - truth)[..., bins].pow(2).mean()
    with pytest.raises(ValueError, match="only latents can be widened"):
        load_bundle(MODELS / "bundles/speech-24k", dec_width=300)


def test_a_room_decays_as_asked():
    rate, rng = 24_000, np.random.default_rng(1)
    room = response(rng, rate, 0.5, 6)
    assert room[0] == 1 and abs(10 * np.log10(np.sum(room[1:] ** 2)) + 6) < 0.01
    energy = np.cumsum(room[:0:-1] ** 2)[::-1]
    fall = 10 * np.log10(energy[rate // 5] / energy[rate // 20])
    # 60 dB in half a second: 18 dB in 0.15 s.
    assert -22 < fall < -15, fall
    x = rng.standard_normal(rate).astype(np.float32)
    assert reverberate(rng, x, rate).shape == x.shape


def test_even_use_of_a_codebook_is_one():
    even, one = torch.arange(64).repeat(10), torch.zeros(640, dtype=torch.long)
    assert np.allclose(use(torch.stack([even, one], -1)[None], 64), [1, 1 / 64])


def test_lost_frames_hold_the_last_latent():
    rng = np.random.default_rng(1)
    latents = torch.randn(8, 50, 4)
    out = lose_frames(latents, rng, 1.0)
    lost = (out != latents).any(-1)
    assert 0.03 < lost.float().mean() < 0.35 and not lost[:, 0].any()
    for item, frame in lost.nonzero().tolist():
        assert torch.allclose(out[item, frame], DECAY * out[item, frame - 1])
    assert (lose_frames(latents, rng, 0.0) == latents).all()
    assert abs(np.mean(burst_mask(rng, 40_000, 0.1)) - 0.1) < 0.01


def test_disturbance_hears_what_is_audible():
    rng = np.random.default_rng(2)
    time = torch.arange(24000) / 24000
    voice = sum(torch.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))[None] * 0.1
    noise = torch.from_numpy(rng.standard_normal((1, 24000)).astype(np.float32))
    measure = Disturbance()
    steps = [float(measure(voice, voice + level * noise)) for level in (0, 1e-6, 1e-3, 1e-2, 1e-1)]
    assert steps[1] - steps[0] < 0.01 and steps[1] < steps[2] < steps[3] < steps[4]
    assert abs(float(measure(10 * voice, 10 * voice + 0.1 * noise)) - steps[3]) < 0.01 * steps[3]


def test_stages_of_an_average_rate_follow_loudness():
    rng, frames = np.random.default_rng(4), 60
    pcm = rng.standard_normal((frames, 480)) * np.repeat([1e-4, 0.01, 0.3], 20)[:, None]
    drawn = np.array([variable_stages(rng, pcm.ravel().astype("f4"), frames, 9) for _ in range(200)])
    assert drawn.min() == 1 and drawn.max() == 9 and 2.5 < drawn.mean() < 7.5
    quiet, middle, loud = (drawn[:, at: at + 20].mean() for at in (0, 20, 40))
    assert quiet + 1 < middle < loud - 1
    counts = draw_stages(rng, np.tile(pcm.ravel().astype("f4"), (300, 1)), frames, 9)
    assert (counts == counts[:, :1]).all() and np.mean(counts[:, 0] == 6) > 0.35
    books, codes = torch.randn(9, 2, 4, 3), torch.randint(4, (300, frames, 18))
    latents = sum_stages(codes, books, counts)
    for item in (0, 1, 2):
        assert torch.allclose(latents[item], decode(codes[item], books, counts[item, 0]), atol=1e-5)


def test_the_balancer_gives_each_loss_its_share():
    output = torch.randn(3, 5, requires_grad=True)
    big, small = 1e4 * output[0].sum(), 1e-3 * output[1].sum()
    gradient = Balancer({"big": 3.0, "small": 1.0}).gradient({"big": big, "small": small}, output)
    assert float(gradient[0].norm()) == pytest.approx(0.75, rel=1e-3)
    assert float(gradient[1].norm()) == pytest.approx(0.25, rel=1e-3)
    assert float(gradient[2].norm()) == 0


def test_a_bundle_can_be_trained_further():
    bundle = Bundle(MODELS / "bundles/speech-24k")
    codec = load_bundle(bundle.folder).eval()
    pcm = torch.from_numpy(np.random.default_rng(3).standard_normal(4800).astype(np.float32)) * 0.1
    with torch.no_grad():
        latents = codec.encode(pcm[None])[0]
        grown = load_bundle(bundle.folder, dec_depth=codec.config.dec_depth + 1).eval()
        assert (grown.decode(latents[None]) - codec.decode(latents[None])).abs().max() < 1e-6
        # The graphs hold the MDCT in 16 bits too.
        assert np.abs(latents.numpy() - bundle.latents(pcm.numpy())).max() < 0.03
        assert np.abs(codec.decode(latents[None])[0].numpy() - bundle.synthesise(latents.numpy())).max() < 1e-3
    assert (codec.quantizer.books.numpy() == bundle.books).all()
    assert not load_bundle(bundle.folder, groups=1, stages=3).quantizer.books.any()


HEARD, POWERS = ("shape", "distance", "levels", "voicing", "heard"), ("near", "sum", "error_db", "bias_db")


@pytest.mark.parametrize("script, options, losses", [("train_decoder.py", ["--pace", "2"], HEARD),
                                                     ("train_decoder.py", ["--harmonics", "0", "--voicing", "0"], HEARD[:3]),
                                                     ("train_levels.py", [], POWERS),
                                                     ("train_tones.py", [], ("keep", "tones", "shape"))])
def test_a_decoder_learns_alone_resumes_and_goes_into_the_bundle(corpus, script, options, losses):
    """Files coded with the old bundle keep their meaning: encoder, codebooks and tables are the same bytes."""
    old = MODELS / "bundles/speech-24k"
    command = [sys.executable, str(MODELS / script), "--bundle", str(old), "--corpus", str(corpus), "--bank",
               str(corpus / "bank"), "--crops", "16", "--frames", "12", "--batch", "4", "--out", str(corpus / "run"),
               "--log-every", "4", *options]
    first = subprocess.run([*command, "--steps", "8"], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    again = subprocess.run([*command, "--steps", "12"], capture_output=True, text=True)
    assert again.returncode == 0 and "resumed at step 8" in again.stdout and "bank" not in again.stdout, again.stderr
    rows = list(csv.DictReader(open(corpus / "run/loss.csv")))
    assert [r["step"] for r in rows] == ["4", "8", "12"]
    assert all(np.isfinite(float(r[k])) for r in rows for k in losses)
    if script == "train_levels.py":
        # What is no level stands still.
        saved, kept = torch.load(corpus / "run/last.pt")["average"], load_bundle(old).decoder.state_dict()
        moved = {k for k, v in kept.items() if k in saved and (saved[k] - v).abs().max() > 0}
        assert moved == {"gain.bias", "level.weight", "level.bias"}
        fixed = (saved["level.bias"] - kept["level.bias"]).abs() == 0
        assert fixed[:17].all() and not fixed[17:].any()  # the 17th band lies at 1,970 Hz
        gains = (saved["gain.bias"] - kept["gain.bias"]).abs() > 0
        assert gains[2:19].all() and not gains[:2].any() and not gains[19:].any()  # 144 to 2,520 Hz
    other = subprocess.run([*command, "--steps", "13", "--crops", "20"], capture_output=True, text=True)
    assert other.returncode and "holds another bank" in other.stderr

    new = corpus / "speech-24k"
    shutil.copytree(old, new)
    export = [sys.executable, str(MODELS / "export.py"), "--decoder", str(corpus / "run/last.pt"), "--out", str(new),
              "--version", "9.9.9", "--golden", str(corpus / "golden.safetensors"), "--clip",
              str(MODELS.parent / "testdata/clips/speech-it-male.flac")]
    done = subprocess.run(export, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((f / "manifest.json").read_text()) for f in (old, new))
    changed = {name for name in before["files"] if before["files"][name] != after["files"][name]}
    assert changed == {"decoder.onnx"} and after["version"] == "9.9.9"
    assert after["codes"]["id"] == before.get("codes", {}).get("id", after["codes"]["id"])
    bundle, golden = Bundle(new), load_file(corpus / "golden.safetensors")
    codes = np.ascontiguousarray(golden["codes"].T)
    assert np.abs(bundle.synthesise(bundle.lookup(codes, 9)) - golden["decoded"]).max() < 1e-3
    # What it says of its memory is true: a decoder that starts so many frames before gives the same samples.
    reach, z = after["receptive_field_frames"]["decoder"], bundle.lookup(codes, 6)
    late = bundle.synthesise(z[60 - reach + 1: 61])[-480:]
    assert np.abs(late - bundle.synthesise(z[:61])[-480:]).max() < 1e-6
    short = bundle.synthesise(z[60 - reach // 2: 61])[-480:]
    assert np.abs(short - late).max() > 0
