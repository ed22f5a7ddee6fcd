"""Features of frames: packets and what is found in them."""
import numpy as np
import pytest

import siskin


def frame(height=96, width=160):
    """Gray, with a noisy bar that looks like a line of text to nobody but is no flat picture either."""
    out = np.full((height, width, 3), 90, np.uint8)
    out[40:52, 20 : width - 20] = np.random.default_rng(1).integers(0, 256, (12, width - 40, 1), np.uint8)
    return out


def test_a_packet_is_decoded_by_itself():
    encoder, decoder = siskin.FeatureEncoder(), siskin.FeatureDecoder()
    first, second = encoder.encode(frame()), encoder.encode(frame(64, 100))
    assert isinstance(first, bytes) and first[0] >> 5 == 1
    found = decoder.decode(second)
    assert (found["width"], found["height"], found["level"]) == (100, 64, encoder.level)
    again = decoder.decode(first, maps=True)
    assert (again["width"], again["height"]) == (160, 96)
    text = again["maps"]["text"]
    assert text.dtype == np.float32 and text.shape == (96, 160)
    assert 0 <= text.min() and text.max() <= 1
    for found in again["objects"]:
        assert len(found["corners"]) == 4 and 0 <= found["score"] <= 1
    assert "maps" not in decoder.decode(first)


def test_levels_change_the_size():
    encoder = siskin.FeatureEncoder(level=0)
    fine = encoder.encode(frame())
    encoder.set_level(encoder.levels - 1)
    assert encoder.level == encoder.levels - 1
    assert len(encoder.encode(frame())) < len(fine)


def test_what_is_wrong_is_named():
    encoder = siskin.FeatureEncoder()
    with pytest.raises(ValueError, match="level"):
        encoder.set_level(99)
    with pytest.raises(ValueError, match="shape"):
        encoder.encode(np.zeros((4, 4), np.uint8))
    with pytest.raises(siskin.Error, match="width"):
        siskin.FeatureDecoder().decode(encoder.encode(frame())[:3] + b"\x00\x10")
    with pytest.raises(siskin.Error):
        siskin.FeatureDecoder(model="no-such-bundle")
