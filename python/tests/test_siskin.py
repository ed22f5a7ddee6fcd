"""The wheel: exact there and back, streaming, layouts, bad tokens, threads."""
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import siskin


def voice(samples, rate=24_000):
    t = np.arange(samples) / rate
    tone = sum(np.sin(2 * np.pi * 130 * h * t) / h for h in range(1, 12))
    return (0.12 * tone * (1 + np.sin(2 * np.pi * 4 * t))).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    return siskin.Encoder()


@pytest.fixture(scope="module")
def decoder():
    return siskin.Decoder()


@pytest.fixture(scope="module")
def codes(encoder):
    return encoder.encode(voice(30_000))


def test_a_recording_comes_back_in_its_length(encoder, decoder, codes):
    assert codes.dtype == np.uint16 and codes.shape[0] == encoder.codes_per_frame
    assert codes.shape[1] == -(-(30_000 + encoder.delay) // encoder.hop)
    pcm = decoder.decode(codes, length=30_000)
    assert pcm.dtype == np.float32 and pcm.shape == (30_000,)
    near = np.corrcoef(pcm, voice(30_000))[0, 1]
    assert near > 0.5, near


def test_pieces_give_the_same(encoder, decoder, codes):
    pcm, rng = voice(30_000), np.random.default_rng(1)
    encoder.reset()
    pieces, at = [], 0
    while at < len(pcm):
        size = int(rng.integers(1, 3000))
        pieces.append(encoder.push(pcm[at:at + size]))
        at += size
    pieces.append(encoder.finish())
    assert np.array_equal(np.concatenate(pieces, axis=1), codes)
    whole = decoder.decode(codes)
    decoder.reset()
    pieces = [decoder.push(codes[:, t:t + 3]) for t in range(0, codes.shape[1], 3)]
    decoder.finish()
    assert np.array_equal(np.concatenate(pieces), whole)


def test_fewer_stages_decode(decoder, codes):
    for k in range(decoder.groups, codes.shape[0] + 1, decoder.groups):
        assert decoder.decode(codes[:k]).shape == decoder.decode(codes).shape


@pytest.mark.parametrize("layout", ["parallel", "delayed", "moshi", "csm", "flat", "flat:1000", "flat-plain",
                                    "coarse-first"])
@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_layouts_stream_to_the_same_samples(decoder, codes, layout, cut):
    if layout == "csm":
        codes = np.where(codes.any(0), codes, 1)
    tokens = siskin.pack(codes, layout, decoder.codebook_size)
    assert tokens.dtype == np.int64
    back = siskin.unpack(tokens, layout, codes.shape[0], decoder.codebook_size)
    assert np.array_equal(back, codes)
    stream = siskin.TokenStream(layout, stages=codes.shape[0] // decoder.groups)
    stream.set_length(30_000)
    heard = [stream.push(tokens[at:at + cut]) for at in range(0, len(tokens), cut)]
    heard.append(stream.finish())
    assert np.array_equal(np.concatenate(heard), decoder.decode(codes, length=30_000))


def test_snapshots_and_slots(encoder, codes):
    stream = siskin.TokenStream("flat", stages=encoder.stages, slots=2)
    tokens = siskin.pack(codes, "flat", encoder.codebook_size)
    alone = np.concatenate([stream.push(tokens), stream.finish()])
    stream.push(tokens[:100], slot=1)
    kept = stream.snapshot(slot=1)
    first = stream.push(tokens[100:400], slot=1)
    stream.push(tokens, slot=0)
    stream.restore(kept, slot=1)
    assert np.array_equal(stream.push(tokens[100:400], slot=1), first)
    stream.reset(slot=0)
    assert np.array_equal(np.concatenate([stream.push(tokens), stream.finish()]), alone)
    with pytest.raises(ValueError, match="slot is 2"):
        stream.push(tokens, slot=2)


def test_bad_tokens_are_refused_with_the_place(decoder, codes):
    stream = siskin.TokenStream("parallel", stages=codes.shape[0] // decoder.groups)
    tokens = siskin.pack(codes, "parallel", decoder.codebook_size)
    tokens[50] = 1 << 20
    with pytest.raises(siskin.TokenError, match="token 50 is 1048576"):
        stream.push(tokens)
    assert stream.progress()["tokens"] == 50
    stream.reset()
    lenient = siskin.TokenStream("parallel", stages=codes.shape[0] // decoder.groups, on_bad="conceal")
    pcm = lenient.push(tokens)
    assert len(pcm) == codes.shape[1] * decoder.hop - decoder.delay
    assert lenient.progress()["lost"] == 1 and "token 50" in lenient.faults()[0]
    with pytest.raises(ValueError, match="integers"):
        stream.push([1.5, 2.5])
    with pytest.raises(ValueError, match="K, T"):
        decoder.push(codes[0])
    with pytest.raises(ValueError, match="codes per frame"):
        decoder.push(np.zeros((decoder.codes_per_frame + 1, 2), np.uint16))
    with pytest.raises(siskin.TokenError, match=r"codes\[1, 0\]"):
        decoder.push(np.full((decoder.codes_per_frame, 2), -1) * (np.arange(decoder.codes_per_frame) == 1)[:, None])
    with pytest.raises(siskin.Error, match="whale-song"):
        siskin.Encoder(model="whale-song")


def test_samples_before_a_refused_token_are_not_lost(decoder, codes):
    stages = codes.shape[0] // decoder.groups
    tokens = siskin.pack(codes, "parallel", decoder.codebook_size)
    whole = siskin.TokenStream("parallel", stages=stages)
    wanted = np.concatenate([whole.push(tokens), whole.finish()])
    bad = tokens.copy()
    bad[5 * codes.shape[0] + 3] = 1 << 20
    for cut in (codes.shape[0], len(bad)):
        stream, found, at = siskin.TokenStream("parallel", stages=stages), [], 0
        while at < len(tokens):
            try:
                found.append(stream.push(bad[at: at + cut]))
                at += cut
            except siskin.TokenError:
                # Goes on with the right token, where the stream stands.
                at, bad = stream.progress()["tokens"], tokens
        found.append(stream.finish())
        assert np.array_equal(np.concatenate(found), wanted)


def test_integers_are_no_samples(encoder):
    for dtype in (np.int16, np.uint8, bool):
        with pytest.raises(ValueError, match="allowed: floats of -1 to 1"):
            encoder.encode(np.zeros(4800, dtype))


def test_layouts_of_absurd_sizes_are_refused():
    for call in (lambda: siskin.unpack([1], "parallel", 10**12, 1024), lambda: siskin.specials("flat", 10**10, 1024)):
        with pytest.raises(ValueError, match="allowed: 1 to 1024"):
            call()
    with pytest.raises(ValueError, match="2\\^48"):
        siskin.specials("flat:9223372036854775800", 12, 1024)


def test_an_array_has_its_metadata_beside_it(tmp_path, codes):
    siskin.save(tmp_path / "a.npy", codes, {"id": "anna", "samples": 4800}, model="speech-24k")
    loaded, meta = siskin.load(tmp_path / "a.npy")
    assert np.array_equal(loaded, codes) and (meta["id"], meta["model"]) == ("anna", "speech-24k")
    assert json.loads((tmp_path / "a.npy.json").read_text())["id"] == "anna"


def test_masks_and_text(encoder, codes):
    k = codes.shape[0]
    stream = siskin.TokenStream("csm", stages=encoder.stages)
    row = np.zeros((2, k + 1), np.int64)
    mask = np.zeros((2, k + 1), bool)
    row[0, -1], mask[0, -1] = 77, True
    row[1, :k], mask[1, :k] = np.maximum(codes[:, 0], 1), True
    pcm = stream.push(row, mask=mask)
    assert 0 < len(pcm) and stream.texts() == [(0, 77)]
    stream.push(np.zeros(k + 1, np.int64))
    assert stream.progress()["ended"]


def test_stages_and_codes_per_frame(encoder, decoder):
    assert encoder.codes_per_frame == encoder.stages * encoder.groups
    assert decoder.codes_per_frame == decoder.stages * decoder.groups
    stream = siskin.TokenStream("parallel", stages=2)
    assert (stream.stages, stream.codes_per_frame) == (2, 2 * encoder.groups)
    with pytest.raises(ValueError, match="exclude each other"):
        siskin.TokenStream("parallel", codebooks=2 * encoder.groups, stages=2)


def test_deprecated_names_warn_and_work(encoder, decoder):
    for thing in (encoder, decoder):
        with pytest.warns(DeprecationWarning, match="codes_per_frame"):
            assert thing.codebooks == thing.codes_per_frame
    with pytest.warns(DeprecationWarning, match="use stages"):
        stream = siskin.TokenStream("parallel", 2 * encoder.groups)
    assert stream.stages == 2
    with pytest.warns(DeprecationWarning, match="codes_per_frame"):
        assert stream.codebooks == 2 * encoder.groups


def test_latents_and_losses(decoder):
    decoder.reset()
    latents = np.zeros((5, decoder.latent_dim), np.float32)
    assert len(decoder.push_latents(latents)) == 5 * decoder.hop - decoder.delay
    assert len(decoder.conceal(3)) == 3 * decoder.hop
    with pytest.raises(ValueError, match="latents of shape"):
        decoder.push_latents(latents[:, :-1])
    decoder.reset()


def test_files(tmp_path, encoder, codes):
    for name in ("a.safetensors", "a.npy", "a.jsonl"):
        siskin.save(tmp_path / name, codes, {"text": "some words", "samples": 30_000}, model="speech-24k")
        back, meta = siskin.load(tmp_path / name)
        assert np.array_equal(back, codes)
        if not name.endswith("npy"):
            assert (meta["text"], meta["samples"], meta["model"]) == ("some words", 30_000, "speech-24k")
    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), codes)
    from safetensors.numpy import load_file
    assert np.array_equal(load_file(tmp_path / "a.safetensors")["codes"], codes)
    assert json.loads((tmp_path / "a.jsonl").read_text())["codes"] == codes.tolist()
    np.save(tmp_path / "other.npy", codes.astype(np.int32).T.copy().T)
    assert np.array_equal(siskin.load(tmp_path / "other.npy")[0], codes)
    with pytest.raises(siskin.Error, match="descr"):
        np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
        siskin.load(tmp_path / "pickle.npy")


def test_python_goes_on_while_a_network_runs(encoder):
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    before = counted[0]
    encoder.encode(voice(240_000))
    during = counted[0] - before
    stop.set()
    counter.join()
    assert during > 20, during


def test_threads_share_a_stream(encoder):
    pcm, results = voice(24_000), [None] * 4
    expected = encoder.encode(pcm)

    def work(n):
        results[n] = encoder.encode(pcm)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all(np.array_equal(r, expected) for r in results)


def test_the_wheel_brings_its_bundle(tmp_path):
    """In an empty folder, with nothing set: bundle from the wheel, ONNX Runtime from the package onnxruntime."""
    env = {k: v for k, v in os.environ.items() if k not in ("ORT_DYLIB_PATH", "SISKIN_BUNDLES")}
    program = "import siskin; e = siskin.Encoder(); print(e.model, siskin.__file__)"
    out = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("speech-24k ")
    assert (Path(siskin.__file__).parent / "share/siskin/bundles/speech-24k/manifest.json").is_file()


def test_nothing_is_loaded_from_the_working_directory(tmp_path):
    # A library that leaves a mark when its code runs, and a bundle that has a shipped one's name.
    mark, source = tmp_path / "the-code-ran", tmp_path / "mark.c"
    source.write_text('#include <stdio.h>\n__attribute__((constructor)) static void run(void) '
                      f'{{ FILE *f = fopen("{mark}", "w"); if (f) fclose(f); }}\n')
    library = tmp_path / ".siskin/ort/libonnxruntime.so"
    library.parent.mkdir(parents=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    stand = tmp_path / "below"
    for folder in (stand / "speech-24k", tmp_path / "models/bundles/speech-24k"):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text('{"planted": true}')
    code = "import siskin; print(siskin.Encoder().codes_per_frame)"
    kept = {k: v for k, v in os.environ.items() if k not in ("SISKIN_DEV_ROOT", "SISKIN_BUNDLES", "ORT_DYLIB_PATH")}
    run = subprocess.run([sys.executable, "-c", code], cwd=stand, env=kept, capture_output=True, text=True)
    assert run.returncode == 0 and int(run.stdout) > 0, run.stderr
    assert not mark.exists()
