"""From a folder of recordings to a bundle: every rate, from nothing and from the shipped bundle, resumed. Needs torch, ffmpeg."""
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

torch = pytest.importorskip("torch")

from siskin_models.bundle import Bundle, sha256  # noqa: E402
from siskin_models.codec import load  # noqa: E402

MODELS = Path(__file__).resolve().parents[1]
PROGRAM = MODELS.parent / "target/debug/siskin"
SMALL = ["enc_width=32", "dec_width=32", "enc_depth=1", "dec_depth=1", "latent=16"]


def voice(seconds, rate, pitch):
    time = np.arange(int(seconds * rate)) / rate
    phase = np.cumsum(pitch + 20 * np.sin(3 * time)) / rate
    return sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9)) * (0.2 + 0.1 * np.sin(7 * time))


@pytest.fixture
def recordings(tmp_path):
    """Two speakers, three rates and formats, a stereo file, a broken one, a silent one and one that is no recording."""
    folder = tmp_path / "recordings"
    for speaker, pitch in (("anna", 210), ("ben", 110)):
        (folder / speaker).mkdir(parents=True)
        for n, (rate, ending) in enumerate([(44100, "wav"), (16000, "flac"), (48000, "ogg")]):
            sf.write(folder / speaker / f"{n}.{ending}", voice(14, rate, pitch + 15 * n), rate)
    sf.write(folder / "ben/stereo.wav", np.stack([voice(3, 24000, 130)] * 2, 1), 24000)
    sf.write(folder / "silent.wav", np.zeros(24000), 24000)
    (folder / "broken.mp3").write_bytes(b"no sound at all")
    (folder / "notes.txt").write_text("no recording")
    return folder


def train(folder, out, *options):
    command = [sys.executable, str(MODELS / "train_folder.py"), str(folder), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True)


def quick(steps, fields=SMALL):
    return [*(["--set", *fields] if fields else []), "--", "--steps", str(steps), "--batch", "4", "--frames", "24", "--threads",
            "1", "--log-every", "5", "--size", "64", "--stages", "4"]


def check_bundle(folder, rate, stages):
    """Files have their hashes, graphs run and stream, figures are those of the bundle."""
    info = json.loads((folder / "manifest.json").read_text())
    assert all(sha256(folder / name) == digest for name, digest in info["files"].items())
    assert (info["sample_rate"], info["hop"], info["quantizer"]["stages"]) == (rate, rate // 50, stages)
    assert [f["stages"] for f in info["figures"]] == [p["stages"] for p in info["prefixes"]]
    assert all(np.isfinite(f["mel_distance"]) for f in info["figures"])
    bundle, pcm = Bundle(folder), voice(2, rate, 150).astype(np.float32)
    output = bundle.roundtrip(pcm, [stages])[stages]
    assert output.shape == pcm.shape and np.isfinite(output).all()
    return pcm, output


@pytest.mark.parametrize("rate", [16000, 48000])
def test_other_rates(recordings, tmp_path, rate):
    done = train(recordings, tmp_path / "out", "--rate", str(rate), *quick(12))
    assert done.returncode == 0, done.stderr
    check_bundle(tmp_path / "out/own-speech", rate, 4)


def test_a_minute_gives_a_codec_and_the_same_command_goes_on(recordings, tmp_path):
    out, options = tmp_path / "out", ["--name", "mine", "--entropy", "0.2"]
    # Half a minute of steps on an idle core. Steps and not minutes, so that a busy machine trains as far.
    done = train(recordings, out, *options, *quick(120))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(open(out / "run/loss.csv")))
    phases = [r["phase"] for r in rows]
    assert phases[0] == "1" and "2" in phases and phases[-1] == "3" and len(rows) == 24
    early, late = (np.mean([float(r["distance"]) for r in part]) for part in (rows[:3], rows[-3:]))
    assert late < 0.9 * early, (early, late)
    pcm, output = check_bundle(out / "mine", 24000, 4)
    # So few steps make no speech: that the losses fall, and that what was learned is in the bundle, is what can be asked.
    assert np.sqrt(np.mean(output**2)) > 1e-4
    trained = load(out / "run/last.pt")[0]
    with torch.no_grad():
        latents = trained.encode(torch.from_numpy(pcm[None, : len(pcm) // 480 * 480]))[0].numpy()
    assert np.abs(Bundle(out / "mine").latents(pcm[: len(pcm) // 480 * 480]) - latents).max() < 0.05
    figures = json.loads((out / "figures.json").read_text())
    assert figures[-1]["mel_distance"] < figures[0]["mel_distance"] + 0.05
    page = (out / "run/progress.html").read_text()
    assert f"step {rows[-1]['step']}," in page and (out / "run/progress.png").stat().st_size > 1000
    skipped = {json.loads(line)["file"] for line in open(out / "corpus/skipped.jsonl")}
    assert skipped == {"broken.mp3", "silent.wav"}
    index = json.loads((out / "corpus/index.json").read_text())
    test, train_ = ({r["file"] for r in index if r["split"] == split} for split in ("test", "train"))
    assert test and train_ and not test & train_
    # A stretch of one split has no row of the other within.
    spans = {}
    for r in index:
        low, high = spans.get((r["split"], r["speaker"]), (r["offset"], 0))
        spans[r["split"], r["speaker"]] = (min(low, r["offset"]), max(high, r["offset"] + r["samples"]))
    for r in index:
        others = [s for (split, _), s in spans.items() if split != r["split"]]
        assert all(r["offset"] + r["samples"] <= low or high <= r["offset"] for low, high in others)
    if PROGRAM.exists():
        for command in (["encode", "-y", "--model", out / "mine", out / "clip.wav", out / "a.mka"],
                        ["decode", "-y", "--model", out / "mine", out / "a.mka", out / "a.wav"]):
            ran = subprocess.run([PROGRAM, *command], capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr
        assert sf.info(out / "a.wav").frames == sf.info(out / "clip.wav").frames
    made = (out / "corpus/corpus.i16").stat().st_mtime_ns
    # For a time that has been used up: resumed, not trained on, exported.
    again = train(recordings, out, *options, *quick(120))
    assert again.returncode == 0 and "resumed at step 120" in again.stdout, again.stdout + again.stderr
    more = train(recordings, out, *options, *quick(125))
    assert more.returncode == 0 and list(csv.DictReader(open(out / "run/loss.csv")))[-1]["step"] == "125", more.stderr
    assert (out / "corpus/corpus.i16").stat().st_mtime_ns == made, "the corpus is not made anew"


def test_the_shipped_bundle_is_trained_on(recordings, tmp_path):
    start = MODELS / "bundles/speech-24k"
    done = train(recordings, tmp_path / "out", "--start", str(start), "--", "--steps", "2", "--batch", "2", "--frames", "24",
                 "--threads", "1", "--log-every", "1")
    assert done.returncode == 0, done.stderr
    pcm, output = check_bundle(tmp_path / "out/own-speech", 24000, 9)
    # Two steps do not undo what it can.
    assert np.corrcoef(pcm, output)[0, 1] > 0.5


def test_what_cannot_be_trained_on_is_told(recordings, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no recordings" in train(empty, tmp_path / "out").stderr
    for speaker in ("anna", "ben"):
        shutil.rmtree(recordings / speaker)
    few = train(recordings, tmp_path / "out")
    assert few.returncode and "0 s of sound to train on, 30 s are needed" in few.stderr
