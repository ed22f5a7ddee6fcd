"""Text, alignment and word errors of `models/tts`, without PyTorch or espeak-ng."""
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tts"))

import align  # noqa: E402
import features  # noqa: E402
import text  # noqa: E402
import wer  # noqa: E402


def test_sounds_share_the_time_of_their_modifiers_and_pauses_that_of_the_blank():
    tokens = list("#haˈloː, ja#")
    found = [(tokens[i], optional) for i, optional in text.units(tokens)]
    assert found == [("#", True), ("h", False), ("a", False), ("l", False), ("o", False), (",", True), ("j", False),
                     ("a", False), ("#", True)]


def test_alignment_finds_where_sounds_change():
    rng = np.random.default_rng(1)
    means = {"a": np.array([3.0, 0, 0]), "b": np.array([0, 3.0, 0]), "#": np.array([-3.0, 0, -3.0])}
    clips, true = [], []
    for _ in range(40):
        word = rng.permutation(["a", "b", "a", "b"])
        lengths = rng.integers(4, 12, 6)
        symbols = ["#", *word, "#"]
        frames = np.concatenate([rng.normal(means[s], 0.3, (n, 3)) for s, n in zip(symbols, lengths)])
        clips.append((frames, [(s, s == "#") for s in symbols]))
        true.append(lengths)
    found = align.align(clips, rounds=8, say=lambda _: None)
    # Two of the same sound side by side have no edge between them, so only the outer pauses are exact.
    for lengths, durations in zip(true, found):
        assert durations.sum() == lengths.sum()
        assert abs(durations[0] - lengths[0]) <= 1 and abs(durations[-1] - lengths[-1]) <= 1


def test_a_clip_that_is_too_short_is_left_out():
    clips = [(np.zeros((3, 2)), [("a", False), ("b", False)]), (np.random.default_rng(0).normal(size=(30, 2)), [("a", False)])]
    assert align.align(clips, rounds=1, say=lambda _: None)[0] is None


def test_pitch_of_a_pulse_train():
    for hertz in (90, 200, 310):
        pcm = np.zeros(24000, np.float32)
        pcm[(np.arange(0, 1, 1 / hertz) * 24000).astype(int)] = 0.5
        pcm = np.convolve(pcm, np.hanning(20), "same").astype(np.float32)
        f0, phase = features.fundamental(pcm)
        middle = f0[5:-5]
        assert (middle > 0).mean() > 0.95 and abs(np.median(middle[middle > 0]) / hertz - 1) < 0.02
        assert len(phase) == len(features.log_mel(pcm)) == 50
    assert (features.fundamental(np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32))[0] > 0).mean() < 0.3


def test_word_errors():
    assert wer.distance("a b c".split(), "a x c d".split()) == 2
    assert wer.words("Straße, „ja!“ it's") == ["strasse", "ja", "it's"]
