"""Manifests and shards from Python, and encoders in other processes."""
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest

import siskin


def voice(samples, rate=24_000):
    t = np.arange(samples) / rate
    return (0.2 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(2 * np.pi * 4 * t))).astype(np.float32)


def utterances(count):
    return [{"id": f"u{n}", "sound": {"file": f"{n}.wav"}, "start": 0.0, "text": f"text {n}"} for n in range(count)]


def meta(encoder, samples):
    return {"format": 1, "model": encoder.model, "stream_header": encoder.stream_header, "samples": samples,
            "codebook_size": encoder.codebook_size, "frame_rate": encoder.frame_rate}


def test_a_corpus_is_planned_written_and_collected(tmp_path):
    encoder, all_ = siskin.Encoder(stages=2), utterances(5)
    corpus = siskin.Corpus(tmp_path, all_, format="webdataset", shard_size=2, stages=2)
    assert corpus.due == [0, 1, 2] and [u["id"] for u in corpus.shard(1)] == ["u2", "u3"]
    with pytest.raises(siskin.Error, match="another run is at work"):
        siskin.Corpus(tmp_path, all_, format="webdataset", shard_size=2, stages=2)
    codes = encoder.encode(voice(4800))
    for number in (0, 1):
        writer = siskin.ShardWriter(tmp_path, number, "webdataset")
        for utterance in corpus.shard(number):
            writer.push(utterance, codes, meta(encoder, 4800), file_rate=24_000)
        summary = writer.finish()
        assert summary["utterances"] == 2 and summary == siskin.shard_summary(tmp_path, number)
        with pytest.raises(RuntimeError, match="finished"):
            writer.finish()
    assert siskin.shard_summary(tmp_path, 2) is None
    totals = corpus.collect({2: "the node is gone"})
    assert (totals["utterances"], totals["shards"], totals["failed"]) == (4, 2, 1)
    failures = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert failures == [{"shard": "000002", "error": "the node is gone"}]
    with tarfile.open(tmp_path / "data/shard-000001.tar") as tar:
        assert tar.getnames() == ["u2.npy", "u2.json", "u3.npy", "u3.json"]
        assert np.array_equal(np.load(io.BytesIO(tar.extractfile("u3.npy").read())), codes)
        assert json.load(tar.extractfile("u3.json"))["text"] == "text 3"
    again = siskin.Corpus(tmp_path, all_, format="webdataset", shard_size=2, stages=2)
    assert again.due == [2]


def test_bad_arguments_are_refused_with_their_place(tmp_path):
    encoder = siskin.Encoder(stages=2)
    with pytest.raises(ValueError, match='format is "zip", allowed: shar'):
        siskin.ShardWriter(tmp_path, 0, "zip")
    with pytest.raises(ValueError, match='dtype is "float32"'):
        siskin.ShardWriter(tmp_path, 0, "shar", "float32")
    with pytest.raises(ValueError, match="shard is"):
        siskin.ShardWriter(tmp_path, "../x")
    writer = siskin.ShardWriter(tmp_path, 0, "shar")
    with pytest.raises(ValueError, match="utterance: missing field `id`"):
        writer.push({}, np.zeros((1, 1), int), {})
    with pytest.raises(siskin.TokenError, match="1024"):
        writer.push(utterances(1)[0], np.full((4, 2), 1024), meta(encoder, 100))
    with pytest.raises(ValueError, match="shard_size is 0"):
        siskin.Corpus(tmp_path / "y", utterances(1), shard_size=0)
    with pytest.raises(ValueError, match="no manifest"):
        siskin.read_manifest(tmp_path)


def test_names_that_readers_fail_at_are_refused(tmp_path):
    encoder = siskin.Encoder(stages=2)
    codes, (first, *_) = encoder.encode(voice(4800)), utterances(1)
    writer = siskin.ShardWriter(tmp_path, 0, "webdataset")
    writer.push(first, codes, meta(encoder, 4800))
    for bad in (first, first | {"id": ""}):
        with pytest.raises(ValueError, match="one that the shard has not yet"):
            writer.push(bad, codes, meta(encoder, 4800))
    assert writer.finish()["utterances"] == 1


def test_manifests_become_dictionaries(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    line = {"audio_filepath": "a.wav", "offset": 0.5, "duration": 1.25, "text": "said", "speaker": "x"}
    (tmp_path / "train.json").write_text(json.dumps(line) + "\n{}\n")
    first, second = siskin.read_manifest(tmp_path / "train.json")
    assert first == {"id": "a-0.5", "sound": {"file": str(tmp_path / "a.wav")}, "start": 0.5, "duration": 1.25, "text": "said",
                     "speaker": "x"}
    assert second["sound"]["refused"] == "line 2: bad audio_filepath: missing"


def test_types_of_codes_in_files(tmp_path):
    codes = np.arange(12, dtype=np.uint16).reshape(3, 4)
    for dtype in ("uint16", "int32", "int64"):
        siskin.save(tmp_path / "a.npy", codes, dtype=dtype)
        loaded = np.load(tmp_path / "a.npy")
        assert loaded.dtype == dtype and np.array_equal(loaded, codes)
        siskin.save(tmp_path / "a.safetensors", codes, dtype=dtype)
        assert np.array_equal(siskin.load(tmp_path / "a.safetensors")[0], codes)
    with pytest.raises(ValueError, match='dtype is "int8"'):
        siskin.save(tmp_path / "a.npy", codes, dtype="int8")


def test_arrays_are_views_that_torch_takes_without_a_copy():
    torch = pytest.importorskip("torch")
    encoder, decoder = siskin.Encoder(stages=2), siskin.Decoder()
    codes = encoder.encode(voice(4800))
    pcm = decoder.decode(codes)
    for array in (codes, pcm):
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
    assert torch.from_numpy(pcm).data_ptr() == pcm.ctypes.data
    if hasattr(torch, "uint16"):
        tensor = torch.from_numpy(codes)
        assert tensor.data_ptr() == codes.ctypes.data and tensor.dtype == torch.uint16
    else:
        # PyTorch before 2.3 has no such type.
        assert torch.from_numpy(codes.astype(np.int32)).dtype == torch.int32


def encode_in_worker(number):
    return siskin.Encoder(stages=2).encode(voice(4800 + 480 * number))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_every_start_method(method):
    # The parent has run a network already, whose threads no child has.
    expected = [encode_in_worker(n) for n in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(encode_in_worker, range(4)).get(timeout=120)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found))


def test_an_encoder_of_the_parent_works_in_a_forked_child():
    encoder = siskin.Encoder(stages=2)
    expected = encoder.encode(voice(4800))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of pytest shall run here, whatever happens.
        try:
            os.write(write, encoder.encode(voice(4800)).tobytes())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == expected.tobytes()
    assert os.waitpid(child, 0)[1] == 0


LOADER = """
import multiprocessing, sys
import numpy as np, torch
import siskin

class Clips(torch.utils.data.Dataset):
    encoder = None
    def __len__(self): return 6
    def __getitem__(self, n):
        # One for each worker, made where it is used.
        self.encoder = self.encoder or siskin.Encoder(stages=2)
        pcm = (0.2 * np.sin(np.arange(4800) * (0.02 + 0.001 * n))).astype(np.float32)
        return torch.from_numpy(self.encoder.encode(pcm).astype(np.int64))

if __name__ == "__main__":
    alone = torch.stack([Clips()[n] for n in range(6)])
    for method in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(Clips(), batch_size=2, num_workers=2, multiprocessing_context=method)
        assert torch.equal(torch.cat(list(loader)), alone), method
    print("same", tuple(alone.shape))
"""


def test_data_loaders_with_forked_and_spawned_workers(tmp_path):
    pytest.importorskip("torch")
    script = tmp_path / "loader.py"
    script.write_text(LOADER)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and done.stdout.startswith("same (6, 4,"), done.stderr
