"""The measures of music in stereo: what a copy gets, and what known faults do to each. Without ViSQOL, which is a package's."""
import numpy as np
import pytest

from siskin_eval.general import MEASURES, RATE

random = np.random.default_rng(1)
TIME = np.arange(4 * RATE) / RATE
BEAT = np.exp(-30 * (TIME % 0.5))


def music():
    """A chord and struck noise, on the left a little of it alone."""
    chord = sum(np.sin(2 * np.pi * f * TIME) for f in (880, 1370, 2210, 3530)) / 20
    struck = 0.3 * BEAT * random.standard_normal(len(TIME))
    return np.stack([chord + struck + 0.05 * random.standard_normal(len(TIME)), chord + struck]).astype(np.float32)


@pytest.mark.parametrize("name", [n for n in MEASURES if n != "ViSQOL"])
def test_a_copy_has_no_error(name):
    x = music()
    assert MEASURES[name](x, x.copy()) == pytest.approx(0, abs=1e-6)


def test_each_fault_is_found_by_its_measure():
    x = music()
    mid = x.mean(0, keepdims=True).repeat(2, 0)
    assert MEASURES["side dB"](x, mid) < -60
    assert np.isnan(MEASURES["side dB"](mid, mid)), "there is no side"
    assert MEASURES["8-16 kHz dB"](x, 2 * x) == pytest.approx(6.02, abs=0.01)
    assert MEASURES["third octaves dB *"](x, x / 2) == pytest.approx(6.02, abs=0.01)
    chord = sum(np.sin(2 * np.pi * f * TIME) for f in range(730, 6000, 500)) / 20
    chord = np.stack([chord, chord]).astype(np.float32)
    noise = (chord + random.standard_normal(chord.shape)).astype(np.float32)
    assert MEASURES["tonality dB"](chord, noise) < -3
    soft = (x * (1 - 0.8 * np.exp(-60 * (TIME % 0.5)))).astype(np.float32)
    assert MEASURES["attacks dB"](x, soft) < -4
    early = np.concatenate([x[:, 600:], x[:, :600]], 1)
    assert MEASURES["before attacks dB"](x, (x + 0.3 * early).astype(np.float32)) > 5
