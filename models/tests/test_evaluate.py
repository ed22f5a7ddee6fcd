"""The evaluation tool: clips, loss patterns, metrics, notices of what is missing, tables, and a whole run on a folder."""
import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from siskin_eval import clips, codecs, loss, metrics, report, score, spectral, tables, tones

MODELS = Path(__file__).resolve().parents[1]


def tone(seconds=1.0, rate=24000, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(9 * t)) / 2 + 0.01 * rng.standard_normal(len(t))).astype("f4")


@pytest.fixture
def folder(tmp_path):
    """Two speakers at two rates, one file that is no sound, one that is silent."""
    for name, rate in (("ann-1.wav", 24000), ("ann-2.flac", 16000), ("sub/b.wav", 44100)):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.stack([tone(1, rate)] * 2, 1), rate)
    sf.write(tmp_path / "clips/quiet.wav", np.zeros(24000), 24000)
    (tmp_path / "clips/broken.wav").write_bytes(b"RIFF and nothing more")
    return tmp_path / "clips"


class TestClips:
    def test_a_folder_gives_its_recordings_at_one_rate_and_names_the_others(self, folder):
        notices = []
        found = clips.from_folder(folder, notices=notices)
        assert [(c.name, c.speaker, len(c.pcm)) for c in found] == [
            ("ann-1.wav", "ann", 24000), ("ann-2.flac", "ann", 24000), ("sub/b.wav", "sub", 24000)]
        assert len(notices) == 2 and "broken.wav" in notices[0] and "quiet.wav" in notices[1]
        assert "3 clips" in clips.describe(found) and "2 speakers" in clips.describe(found)

    def test_text_and_language_come_from_the_metadata(self, folder):
        (folder / "metadata.csv").write_text("ann-1|ann|en-us|Good morning, all.\n")
        first = clips.from_folder(folder)[0]
        assert (first.language, first.text) == ("en-us", "Good morning, all.")

    def test_an_empty_folder_is_an_error(self, tmp_path):
        with pytest.raises(SystemExit, match="no clips"):
            clips.from_folder(tmp_path)

    def test_noise_has_the_ratio_of_its_name_and_is_the_same_each_time(self, folder):
        clean = clips.from_folder(folder)
        noisy, again = clips.with_noise(clean), clips.with_noise(clean)
        assert [c.key for c in noisy] == [c.key for c in again]
        ratio = 20 * np.log10(clips.rms(clean[0].pcm) / clips.rms(noisy[0].pcm - clean[0].pcm))
        assert noisy[0].name == "ann-1.wav+noise5" and abs(ratio - 5) < 0.1

    def test_a_speaker_of_both_splits_is_refused(self, tmp_path):
        row = {"source": "s", "speaker": "x", "kind": "speech", "offset": 0, "samples": 4}
        (tmp_path / "index.json").write_text(json.dumps([{**row, "split": "train"}, {**row, "split": "test"}]))
        np.zeros(4, "<i2").tofile(tmp_path / "corpus.i16")
        with pytest.raises(SystemExit, match="are in training"):
            clips.HeldOut(tmp_path)


class TestLoss:
    @pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
    @pytest.mark.parametrize("model, run", [("random", None), ("burst", 3.0)])
    def test_share_and_mean_run_are_as_asked(self, share, model, run):
        lost = loss.Loss(share, model, seed=5).pattern(200_000)
        starts = np.count_nonzero(lost[1:] & ~lost[:-1])
        assert abs(lost.mean() - share) < 0.07 * share
        assert abs(lost.sum() / starts - (run or 1 / (1 - share))) < 0.1
        assert not lost[0]

    def test_the_seed_decides(self):
        a, b = loss.Loss(0.2, "burst", seed=1), loss.Loss(0.2, "burst", seed=2)
        assert (a.pattern(500) == a.pattern(500)).all() and (a.pattern(500) != b.pattern(500)).any()

    def test_words(self):
        assert loss.parse("10%:burst:7") == loss.Loss(0.1, "burst", seed=7)
        for wrong in ("much", "100%", "10%:often", "10%:burst:x"):
            with pytest.raises(SystemExit, match=wrong.split(":")[0]):
                loss.parse(wrong)


class TestMetrics:
    def test_those_without_packages_know_perfect_and_worse(self):
        notices, x = [], tone()
        own = metrics.load(["sisdr", "mel"], notices)
        clip = clips.Clip("a", "a", "", "clean", x)
        same = metrics.score(own, clip, x)
        worse = metrics.score(own, clip, x + 0.1 * tone(seed=1)[::-1])
        assert notices == [] and same["sisdr"] > 60 and same["mel"] == 0
        assert worse["sisdr"] < same["sisdr"] - 20 and worse["mel"] > 0.01

    def test_mel_distance_is_that_of_the_program(self):
        """Half as loud is the log of two, as apps/src/metrics/mel.rs has it."""
        noise = np.random.default_rng(1).uniform(-0.5, 0.5, 24000)
        assert metrics.mel_distance(noise, noise / 2) == pytest.approx(np.log10(2), abs=1e-6)

    def test_what_is_not_installed_is_named(self, monkeypatch):
        def missing():
            raise ModuleNotFoundError("no", name="speechmos")

        monkeypatch.setitem(metrics.TABLE, "dnsmos", ("DNSMOS", 2, missing, "speechmos"))
        notices = []
        assert metrics.load(["dnsmos"], notices) == []
        assert "DNSMOS" in notices[0] and "speechmos" in notices[0] and "requirements-eval.txt" in notices[0]
        with pytest.raises(SystemExit, match="no metric 'beauty'"):
            metrics.load(["beauty"], notices)

    @pytest.mark.parametrize("seconds, parts", [(5.0, 1), (9.01, 1), (9.5, 2), (10.01, 2), (12.0, 4)])
    def test_dnsmos_hears_a_clip_to_its_end(self, seconds, parts):
        pcm = np.arange(int(seconds * metrics.LOW))
        found = metrics.windows(pcm)
        assert len(found) == parts and found[0][0] == 0 and {len(p) for p in found} == {int(9.01 * metrics.LOW)}
        assert pcm[-1] in found[-1]
        if seconds > 9.01:
            assert found[-1][-1] == pcm[-1]
            assert all(0 < b[0] - a[0] <= metrics.LOW for a, b in zip(found, found[1:]))

    def test_word_errors(self):
        assert metrics.edits("a b c d".split(), "a x c d e".split()) == 2
        assert metrics.edits([], ["a"]) == 1


class TestCodecs:
    def test_missing_peers_are_named(self, tmp_path, monkeypatch):
        monkeypatch.delenv("SISKIN_LYRA_DIR", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        places = codecs.Places(siskin=tmp_path / "siskin", opus_peer=tmp_path / "opus-peer")
        notices = []
        for spec in ("siskin:6000", "opus:9000", "ffmpeg-opus:9000", "codec2:3200", "lyra:6000"):
            assert codecs.make(spec, places, notices) is None
        for notice, words in zip(notices, ("cargo build", "models/peers/opus", "ffmpeg", "codec2", "SISKIN_LYRA_DIR")):
            assert "left out" in notice and words in notice
        assert codecs.make("lyra:6000", codecs.Places(lyra=tmp_path), notices) is None
        assert "lyra_roundtrip.py is not there" in notices[-1]

    def test_first_stages_of_a_stream_that_holds_more(self, tmp_path):
        """The codes are those of nine stages, the size that of three; what is heard are the first three."""
        program = tmp_path / "siskin"
        program.write_text(f"#!{sys.executable}\n" + PROGRAM)
        program.chmod(0o755)
        places = codecs.Places(siskin=program)
        codec = codecs.make("siskin:3000:of=9", places, [])
        assert (codec.label, codec.family) == ("Siskin 3k, 3 stages of 9", "Siskin, first stages of 9")
        coded, out = codecs.code(codec, np.zeros(480, "f4"), [None])
        assert coded.packet_bytes == 3 and out[None][0].tolist() == [9, 3]
        assert codec.fingerprint() != codecs.make("siskin:3000", places, []).fingerprint()
        for wrong in ("siskin:9000:of=9", "siskin:3000:vbr:of=9"):
            with pytest.raises(SystemExit, match="no first ones of 9"):
                codecs.make(wrong, places, [])

    def test_a_clip_through_lyra_does_not_know_the_one_before(self, tmp_path):
        """Networks whose state only a new interpreter forgets, as those of Lyra do: each adds what it heard before."""
        (tmp_path / "lyra_roundtrip.py").write_text(LYRA)
        for name in ("soundstream_encoder", "quantizer", "lyragan"):
            (tmp_path / f"{name}.tflite").write_bytes(b"")
        codec = codecs.make("lyra:3200", codecs.Places(lyra=tmp_path), [])
        loud, quiet = np.full(2400, 0.5, "f4"), np.full(2400, 0.01, "f4")

        def run(pcm, losses=(None,)):
            _, out = codecs.code(codec, pcm, losses)
            return [codec.packets, *(out[lost][0].tolist() for lost in losses)]

        alone = run(quiet)
        run(loud)
        assert run(quiet) == alone
        # Nor does what is decoded with losses know what was decoded without.
        lost = loss.Loss(0.5, seed=3)
        assert run(quiet, (None, lost))[2] == run(quiet, (lost,))[1] != alone[1]

    @pytest.mark.parametrize("spec", ["mp3:6000", "opus", "opus:fast"])
    def test_a_wrong_specification_is_an_error(self, spec):
        with pytest.raises(SystemExit, match="is not like"):
            codecs.make(spec, codecs.Places(), [])


# Writes the number of stages that it was told instead of codes, and that of both instead of samples.
PROGRAM = """
import json, sys
import numpy as np
words = sys.argv[1:]
if "--help" in words:
    print("--loss --redundancy --stages")
elif words[0] == "encode":
    stages = words[words.index("--stages") + 1]
    open(words[-1], "w").write(stages)
    print(json.dumps({"packet_bytes": int(stages)}))
else:
    np.array([int(open(words[-2]).read()), int(words[words.index("--stages") + 1])], "<f4").tofile(words[-1])
"""
LYRA = """
import numpy as np
HOP, FPS, BITS, DIM = 320, 50, 4, 1

class Lyra:
    def __init__(self, models):
        self.heard = self.said = 0.0

    def features(self, hop):
        self.heard += float(hop.mean())
        return np.full(DIM, self.heard, np.float32)

    def quantize(self, features, stages):
        return features

    def dequantize(self, codes):
        return codes

    def synth(self, features):
        self.said += float(features[0])
        return np.full(HOP, 0.01 * self.said, np.float32)

pack = lambda codes: codes.tobytes()
unpack = lambda packet, stages: np.frombuffer(packet, np.float32)
"""


class Half(codecs.Codec):
    """A codec that halves; counts how often it runs."""

    family = label = "Half"
    runs = 0

    name = "half"

    def fingerprint(self):
        return self.name

    def encode(self, pcm, folder):
        Half.runs += 1
        self.pcm = pcm
        return codecs.Coded(folder, 750, 800, 0.1)

    def decode(self, coded, loss):
        return self.pcm / 2 if loss is None else self.pcm * 0, 0.1


class TestScores:
    def test_rows_are_kept_and_only_what_is_new_runs(self, tmp_path, folder):
        Half.runs = 0
        found, own = clips.from_folder(folder), metrics.load(["mel"], [])
        lost = loss.Loss(0.1)
        first = score.rows(Half(), found, [None], own, tmp_path / "kept")
        assert Half.runs == 3 and first[0]["kbps"] == pytest.approx(6) and first[0]["disk_kbps"] == pytest.approx(6.4)
        assert score.rows(Half(), found, [None], own, tmp_path / "kept") == first and Half.runs == 3
        both = score.rows(Half(), found, [None, lost], own, tmp_path / "kept")
        assert Half.runs == 6 and len(both) == 6
        means = score.means(both, ["mel"])
        assert [m["clips"] for m in means] == [3, 3] and means[0]["mel"] < means[1]["mel"]

    def test_a_new_program_that_gives_the_same_samples_is_not_scored_again(self, tmp_path, folder):
        found, own = clips.from_folder(folder), metrics.load(["mel"], [])
        first, again = score.rows(Half(), found, [None], own, tmp_path / "kept"), Half()
        again.name, Half.runs = "half, newer", 0
        own[0] = dataclasses.replace(own[0], score=None)  # would raise
        assert score.rows(again, found, [None], own, tmp_path / "kept") == first and Half.runs == 3

    def test_a_mean_leaves_out_what_is_not_there(self):
        assert score.mean([1.0, None, float("nan"), 3.0]) == 2.0 and score.mean([None]) is None


class TestTables:
    ROWS = [{"codec": "a", "x": 1.2345, "none": None}, {"codec": "b", "x": None, "none": None}]

    def test_markdown_rounds_and_leaves_out_empty_columns(self):
        text = tables.markdown(self.ROWS, [("codec", "codec", 0), ("x", "X", 2), ("none", "N", 1)])
        assert text == "| codec | X |\n|---|---|\n| a | 1.23 |\n| b |  |\n"

    def test_csv_reads_back(self):
        rows = list(csv.DictReader(tables.to_csv(self.ROWS).splitlines()))
        assert rows[0]["x"] == "1.2345" and rows[1]["x"] == ""

    def test_a_section_is_replaced_and_must_be_there(self):
        text = "a\n<!-- t begin: by hand not -->\nold\n<!-- t end -->\nb\n"
        assert tables.replace_section(text, "t", "new") == "a\n<!-- t begin: by hand not -->\nnew\n<!-- t end -->\nb\n"
        with pytest.raises(ValueError, match="'<!-- u begin -->'"):
            tables.replace_section(text, "u", "new")

    def test_the_documents_have_their_sections(self):
        from siskin_eval.report import Report
        text = (MODELS.parent / "docs/evaluation.md").read_text()
        for name in Report([], [], [], [], [], {}, [], "").sections():
            tables.replace_section(text, name, "")
        tables.replace_section((MODELS.parent / "README.md").read_text(), "figures", "")


def test_the_command_scores_a_folder_and_says_what_is_missing(folder, tmp_path):
    """The whole program as a user runs it, with a codec that is always there and one whose weights are not."""
    env = {k: v for k, v in os.environ.items() if k != "SISKIN_LYRA_DIR"}
    command = [sys.executable, MODELS / "evaluate.py", "--clips", folder, "--codec", "original", "lyra:6000", "--metrics",
               "sisdr", "mel", "--no-speed", "--cache", tmp_path / "kept", "--out", tmp_path / "out"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "codec lyra:6000 left out" in done.stderr and "codec lyra:6000 left out" in done.stdout
    assert "broken.wav" in done.stdout and (tmp_path / "out/tables.md").read_text() in done.stdout
    assert f"evaluate.py --clips {folder} --codec original lyra:6000 --metrics sisdr mel --no-speed`" in done.stdout
    rows = list(csv.DictReader((tmp_path / "out/means.csv").open()))
    assert [(r["codec"], r["condition"], r["clips"]) for r in rows] == [
        ("original", "clean", "3"), ("original", "noisy", "2"), ("original", "overlap", "1"), ("original", "quiet", "1"),
        ("original", "loud", "1")]
    refused = subprocess.run([*map(str, command), "--write"], capture_output=True, text=True, env=env, timeout=300)
    assert refused.returncode and "held-out" in refused.stderr


def test_plots_are_pictures(tmp_path):
    from siskin_eval import plots
    own = metrics.load(["sisdr", "mel"], [])
    rows = [{"codec": f"c{i}", "family": f, "condition": "clean", "loss": None, "kbps": k, "sisdr": k, "mel": 1 / k}
            for i, (f, k) in enumerate([("Siskin", 3.0), ("Siskin", 6.0), ("Peer", 9.0)])]
    plots.rate_distortion(rows, own, tmp_path / "rd.png")
    plots.against_loss(rows + [{**r, "loss": loss.Loss(0.1)} for r in rows], own, tmp_path / "loss.png")
    for name in ("rd.png", "loss.png"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) < 200_000


class TestTimbre:
    def voice(self, pitch, noise=0.0):
        t = np.arange(2 * 24000) / 24000
        x = sum(np.sin(2 * np.pi * pitch * n * t + n * n) / n for n in range(1, int(6000 / pitch)))
        return (0.1 * x + noise * np.random.default_rng(0).standard_normal(len(t))).astype("f4")

    @pytest.mark.parametrize("pitch", [90.0, 140.0, 220.0, 330.0])
    def test_the_pitch_of_a_voice_is_found(self, pitch):
        assert abs(spectral.pitch(self.voice(pitch)) / pitch - 1) < 0.02
        assert np.isnan(spectral.pitch(np.random.default_rng(0).standard_normal(48000).astype("f4")))

    def test_hoarse_is_less_harmonic_and_only_there(self):
        from scipy.signal import butter, sosfilt
        clean = self.voice(150.0)
        band = butter(6, (2500, 4500), "band", fs=24000, output="sos")
        hiss = sosfilt(band, np.random.default_rng(1).standard_normal(len(clean)))
        hoarse = (clean + 0.05 * hiss).astype("f4")
        assert spectral.harmonicity_difference(3000, 4000)(clean, hoarse) < -5
        assert abs(spectral.harmonicity_difference(500, 1000)(clean, hoarse)) < 0.5
        assert spectral.harmonicity_error(clean, clean) == 0 < spectral.harmonicity_error(clean, hoarse)
        assert spectral.harmonicity_error_in(3000, 4000)(clean, hoarse) > 5
        assert spectral.harmonicity_error_in(500, 1000)(clean, hoarse) < 0.5

    def test_levels_of_bands_are_told_in_decibels(self):
        from scipy.signal import butter, sosfiltfilt
        noise = np.random.default_rng(2).standard_normal(48000)
        dull = sosfiltfilt(butter(2, 2000, fs=24000, output="sos"), noise)
        assert spectral.band_level(70, 11000)(noise, noise / 2) == pytest.approx(-6.02, abs=0.01)
        assert abs(spectral.band_level(200, 900)(noise, dull)) < 1 and spectral.band_level(3900, 7900)(noise, dull) < -12
        assert spectral.level_error(noise, noise / 2) == pytest.approx(6.02, abs=0.05)

    def test_a_third_octave_that_is_too_soft_is_named(self):
        rng = np.random.default_rng(5)
        noise = rng.standard_normal(48000).astype("f4")
        spectrum = np.fft.rfft(noise)
        hertz = np.fft.rfftfreq(48000, 1 / 24000)
        spectrum[(hertz > 891) & (hertz < 1122)] *= 0.5  # that of 1 kHz
        own = metrics.load([m for m in metrics.TABLE if m.startswith("octave")], [])
        bands = [m for m in own if m.band == "octave"]
        assert len(bands) == 22 and bands[0].title == "79" and bands[11].title == "1000"
        clip = clips.Clip("a", "a", "", "clean", noise)
        found = metrics.score(bands, clip, np.fft.irfft(spectrum).astype("f4"))
        assert found["octave11"] == pytest.approx(-6.0, abs=0.3)
        assert all(abs(v) < 0.6 for k, v in found.items() if k != "octave11")

    def test_what_was_not_measured_keeps_its_figures(self, tmp_path):
        own = metrics.load(["mel"], [])
        row = {"codec": "a", "family": "a", "condition": "clean", "loss": None, "kbps": 6, "disk_kbps": 6, "mel": 0.25}
        told = report.Report(own, [row], [], [], [], {"clean": "1 clip"}, [], "a command")
        page, readme = tmp_path / "evaluation.md", tmp_path / "README.md"
        page.write_text("".join(f"<!-- {name} begin -->\nold\n<!-- {name} end -->\n" for name in told.sections()))
        readme.write_text("<!-- figures begin -->\n<!-- figures end -->\n")
        told.documents(page, readme, tmp_path / "pictures")
        text = page.read_text()
        assert "| a | 6.00 | 6.00 | 0.250 |" in text and "<!-- loss begin -->\nold\n" in text
        assert "<!-- speed begin -->\nold\n" in text and "Not measured" not in text

    def test_bands_stand_in_a_table_of_their_own(self):
        own = metrics.load(["mel", "octave11", "octave12", "hnr500", "hoarse500"], [])
        assert [c[0] for c in report.columns(own)[3:]] == ["mel"] and "1000" not in report.trained_on(own)
        rows = [{"codec": c, "family": f, "condition": "clean", "octave11": v, "octave12": -v}
                for c, f, v in (("original", "original", 0.0), ("Siskin 6k VBR", "Siskin", -1.04), ("Lyra V2 6k", "Lyra V2", 0.5))]
        text = report.by_band(rows, own, "octave")
        assert text.splitlines() == ["| Hz | Siskin 6k VBR | Lyra V2 6k |", "|---|---|---|", "| 1000 | -1.0 | 0.5 |",
                                     "| 1260 | 1.0 | -0.5 |"]
        assert report.by_band(rows, own[:1], "octave") == "Not measured.\n"

    def test_high_and_low_voices_stand_apart(self):
        rows = [{"codec": c, "family": c, "condition": "clean", "loss": None, "kbps": 6, "disk_kbps": 6, "pitch": p, "mel": m}
                for c in ("a", "b") for p, m in ((220.0, 1.0), (230.0, 3.0), (110.0, 5.0), (float("nan"), 9.0))]
        found = score.voices(rows, ["mel"])
        assert [(r["codec"], r["voices"], r["clips"], r["mel"]) for r in found] == [
            ("a", "high", 2, 2.0), ("a", "low", 1, 5.0), ("b", "high", 2, 2.0), ("b", "low", 1, 5.0)]

    def test_a_tone_and_what_was_added(self):
        wanted = tones.tone(1000)
        level, above = tones.measure(wanted, 1000)
        assert abs(level) < 0.05 and above > 60
        level, above = tones.measure(wanted / 2 + 0.02 * np.random.default_rng(0).standard_normal(len(wanted)), 1000)
        assert level == pytest.approx(-6.0, abs=0.2) and above == pytest.approx(10 * np.log10(0.25 * 0.0315 / 4e-4), abs=0.7)

    def test_every_starred_column_is_explained(self):
        unseen = metrics.Metric("stoi", "STOI", 3, None)
        own = [unseen, *metrics.load(["mel", "level", "hnr"], [])]
        text = report.trained_on(own)
        assert "mel distance (energy distance)" in text and "harmonics dB (voicing)" in text and "STOI" not in text
        assert [c[1] for c in report.columns(own)[3:]] == ["STOI", "mel distance *", "level dB *", "harmonics dB *"]
        assert report.trained_on([unseen]) == ""

    def test_two_talkers_and_quiet_ones(self, folder):
        clean = clips.from_folder(folder)
        both = clips.overlapping(clean)
        ratio = clips.rms(clean[0].pcm) / clips.rms(both[0].pcm - clean[0].pcm)
        assert 20 * np.log10(ratio) == pytest.approx(3, abs=0.1) and both[0].condition == "overlap" and both[0].text == ""
        for peak, name in ((-40.0, "quiet"), (-0.1, "loud")):
            changed = clips.at_peak(clean, peak, name)[0]
            assert 20 * np.log10(np.abs(changed.pcm).max()) == pytest.approx(peak, abs=0.01) and changed.condition == name
