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


def small_encodec_stereo():
    rng, tensors = np.random.default_rng(4), {}

    def conv(name, *shape, bias=None):
        scale = np.sqrt(1 / np.prod(shape[1:]))
        outputs = bias or shape[0]
        tensors[f"{name}.conv.weight"] = rng.uniform(-scale, scale, shape)
        tensors[f"{name}.conv.bias"] = rng.uniform(-0.05, 0.05, outputs)
        tensors[f"{name}.norm.weight"] = rng.uniform(0.5, 1, outputs)
        tensors[f"{name}.norm.bias"] = rng.uniform(-0.1, 0.1, outputs)

    def residual(name, channels):
        conv(f"{name}.block.1", channels // 2, channels, 3)
        conv(f"{name}.block.3", channels, channels // 2, 1)
        conv(f"{name}.shortcut", channels, channels, 1)

    channels, strides = 2, (2, 4, 5, 8)
    conv("encoder.layers.0", channels, 2, 7)
    for i, stride in enumerate(strides):
        residual(f"encoder.layers.{3 * i + 1}", channels)
        conv(f"encoder.layers.{3 * i + 3}", 2 * channels, channels, 2 * stride)
        channels *= 2
    for name in ("encoder.layers.13", "decoder.layers.1"):
        for i in range(2):
            for part, shape in (("weight", (4 * channels, channels)), ("bias", (4 * channels,))):
                tensors[f"{name}.lstm.{part}_ih_l{i}"] = rng.uniform(-0.05, 0.05, shape)
                tensors[f"{name}.lstm.{part}_hh_l{i}"] = rng.uniform(-0.05, 0.05, shape)
    conv("encoder.layers.15", 128, channels, 7)
    conv("decoder.layers.0", channels, 128, 7)
    for i, stride in enumerate(reversed(strides)):
        conv(f"decoder.layers.{3 * i + 3}", channels, channels // 2, 2 * stride, bias=channels // 2)
        channels //= 2
        residual(f"decoder.layers.{3 * i + 4}", channels)
    conv("decoder.layers.15", 2, channels, 7)
    for i in range(4):
        tensors[f"quantizer.layers.{i}.codebook.embed"] = rng.uniform(-0.5, 0.5, (1024, 128)) / (i + 1)
    return tensors


def test_stereo_has_two_rows_and_segments_have_scales(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", small_encodec_stereo())
    bundle = str(tmp_path / "bundle")
    recognised = siskin.import_model("encodec", tmp_path / "model.safetensors", bundle)
    assert recognised == "EnCodec, 48 kHz stereo, 4 codebooks"
    t = np.arange(50_001)
    pcm = np.stack([0.3 * np.sin(t * 0.05), 0.2 * np.sin(t * 0.021)]).astype(np.float32)
    encoder, decoder = siskin.Encoder(bundle), siskin.Decoder(bundle)
    assert (encoder.channels, decoder.channels, encoder.sample_rate) == (2, 2, 48_000)
    codes = encoder.encode(pcm)
    scales = encoder.scales()
    assert (codes.shape, scales.shape, encoder.scales().shape) == ((4, 150 + 8), (2,), (0,))
    np.testing.assert_allclose(scales[0], np.sqrt((pcm[:, :48_000].mean(0) ** 2).mean()), rtol=1e-5)
    whole = decoder.decode(codes, length=pcm.shape[1], scales=scales)
    assert whole.shape == pcm.shape and not np.array_equal(whole[0], whole[1])
    # In pieces, and by a stream of tokens.
    pieces = [encoder.push(piece) for piece in np.array_split(pcm, 7, axis=1)] + [encoder.finish()]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), codes)
    np.testing.assert_array_equal(encoder.scales(), scales)
    stream = siskin.TokenStream("parallel", model=bundle)
    stream.set_length(pcm.shape[1])
    stream.set_scales(scales)
    spoken = [stream.push(codes[:, i:i + 13].T) for i in range(0, codes.shape[1], 13)] + [stream.finish()]
    np.testing.assert_array_equal(np.concatenate(spoken, axis=1), whole)
    with pytest.raises(ValueError, match=r"\[2, samples\]"):
        encoder.encode(pcm[0])
    with pytest.raises(ValueError, match="scale"):
        decoder.decode(codes, scales=[np.nan])
