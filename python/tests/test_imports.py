"""A published codec in the wheel: a small checkpoint with the layers of DAC, imported, encoded and decoded in pieces."""
import json
import struct

import numpy as np
import pytest

import siskin

HOP = 320


def write_safetensors(path, tensors):
    """The format is a length, a header in JSON, and the numbers."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def small_dac():
    rng, tensors = np.random.default_rng(3), {}

    def conv(name, *shape, bias=None):
        scale = np.sqrt(1 / np.prod(shape[1:]))
        tensors[f"{name}.weight"] = rng.uniform(-scale, scale, shape)
        tensors[f"{name}.bias"] = rng.uniform(-0.05, 0.05, bias or shape[0])

    def alpha(name, channels):
        tensors[f"{name}.alpha"] = rng.uniform(0.2, 1, (1, channels, 1))

    def units(name, first, channels):
        for i in range(first, first + 3):
            alpha(f"{name}.{i}.block.0", channels)
            conv(f"{name}.{i}.block.1", channels, channels, 7)
            alpha(f"{name}.{i}.block.2", channels)
            conv(f"{name}.{i}.block.3", channels, channels, 1)

    channels, strides = 4, (2, 4, 5, 8)
    conv("encoder.block.0", channels, 1, 7)
    for i, stride in enumerate(strides, 1):
        units(f"encoder.block.{i}.block", 0, channels)
        alpha(f"encoder.block.{i}.block.3", channels)
        conv(f"encoder.block.{i}.block.4", 2 * channels, channels, 2 * stride)
        channels *= 2
    alpha("encoder.block.5", channels)
    conv("encoder.block.6", 16, channels, 3)
    conv("decoder.model.0", channels, 16, 7)
    for i, stride in enumerate(reversed(strides), 1):
        alpha(f"decoder.model.{i}.block.0", channels)
        conv(f"decoder.model.{i}.block.1", channels, channels // 2, 2 * stride, bias=channels // 2)
        channels //= 2
        units(f"decoder.model.{i}.block", 2, channels)
    alpha("decoder.model.5", channels)
    conv("decoder.model.6", 1, channels, 7)
    for i in range(12):
        tensors[f"quantizer.quantizers.{i}.codebook.weight"] = rng.uniform(-1, 1, (1024, 8))
        conv(f"quantizer.quantizers.{i}.in_proj", 8, 16, 1)
        conv(f"quantizer.quantizers.{i}.out_proj", 16, 8, 1)
    return tensors


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_safetensors(folder / "model.safetensors", small_dac())
    recognised = siskin.import_model("dac", folder / "model.safetensors", folder / "bundle")
    assert recognised == "DAC, 16000 Hz, 12 codebooks"
    return str(folder / "bundle")


def test_codes_and_samples_do_not_depend_on_the_pieces(bundle):
    rng = np.random.default_rng(1)
    pcm = (0.1 * np.sin(np.arange(40 * HOP + 50) * 0.1) + 0.01 * rng.standard_normal(40 * HOP + 50)).astype(np.float32)
    encoder, decoder = siskin.Encoder(bundle), siskin.Decoder(bundle)
    assert (encoder.sample_rate, encoder.hop, encoder.codes_per_frame) == (16_000, HOP, 12)
    codes = encoder.encode(pcm)
    assert codes.shape == (12, 41), "as many frames as the samples fill"
    pieces = [encoder.push(piece) for piece in np.array_split(pcm, 23)] + [encoder.finish()]
    assert np.mean(np.concatenate(pieces, axis=1) == codes) > 0.999, "frames and blocks of frames round otherwise"

    whole = decoder.decode(codes, length=len(pcm))
    assert whole.shape == pcm.shape
    parts = [decoder.push(codes[:, t:t + 1]) for t in range(codes.shape[1])] + [decoder.finish()]
    assert parts[-1].size > 0, "the decoder lags behind the codes"
    parts = np.concatenate(parts)
    assert parts.shape == (41 * HOP,)
    np.testing.assert_array_equal(parts[:len(pcm)], whole)

    stream = siskin.TokenStream("delayed", model=bundle)
    tokens = siskin.pack(codes, "delayed", encoder.codebook_size)
    spoken = [stream.push(tokens[i:i + 7]) for i in range(0, len(tokens), 7)] + [stream.finish()]
    np.testing.assert_array_equal(np.concatenate(spoken)[:len(pcm)], whole)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"nothing of the kind")
    with pytest.raises(siskin.Error, match="neither a PyTorch archive nor safetensors"):
        siskin.import_model("mimi", tmp_path / "model.bin", tmp_path / "bundle")
    with pytest.raises(ValueError, match="encodec"):
        siskin.import_model("mp3", tmp_path / "model.bin", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
