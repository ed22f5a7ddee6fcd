"""Shards are read by the libraries that trainers use: lhotse, webdataset, pyarrow, datasets, torch."""
import json

import numpy as np
import pytest
import torch
from conftest import export


@pytest.fixture(scope="module")
def shards(recordings, tmp_path_factory):
    """The same corpus in each format, four utterances a shard."""
    made = {}
    for format in ("shar", "webdataset", "parquet"):
        made[format] = tmp_path_factory.mktemp(format)
        export(recordings / "train.json", made[format], "--format", format, "--shard-size", "4", "--jobs", "2")
    return made


def text_of(id):
    return f"take number {id.rsplit('.', 1)[1]}"


def test_lhotse_reads_a_shar(shards, reference):
    from lhotse import CutSet

    cuts = list(CutSet.from_shar(in_dir=str(shards["shar"] / "data")))
    assert [c.id for c in cuts] == list(reference)
    for cut in cuts:
        # As NeMo's speech models take them: all of the array, [C, T].
        codes = cut.target_codes.load()
        assert codes.dtype == np.uint16 and np.array_equal(codes, reference[cut.id])
        tensor = torch.from_numpy(codes.astype(np.int32))
        assert tensor.shape == reference[cut.id].shape
        assert cut.supervisions[0].text == text_of(cut.id) and cut.supervisions[0].speaker == cut.id.split("/")[0]
        assert cut.target_codes.frame_shift == pytest.approx(0.02) and cut.target_codes.temporal_dim == 1
        # By the cut's own length the frame of the codec's delay is left out.
        trimmed = cut.load_target_codes()
        assert trimmed.shape[0] == codes.shape[0] and 0 <= codes.shape[1] - trimmed.shape[1] <= 1


def test_lhotse_collates_and_samples_a_shar(shards, reference):
    from lhotse import CutSet
    from lhotse.dataset import DynamicBucketingSampler

    cuts = CutSet.from_shar(in_dir=str(shards["shar"] / "data"), shuffle_shards=True, seed=3)
    sampler = DynamicBucketingSampler(cuts, max_duration=2.0, num_buckets=2, shuffle=True, seed=1)
    seen = [cut.id for batch in sampler for cut in batch]
    assert sorted(seen) == sorted(reference)


def test_lhotse_manifests_come_back_with_their_recordings(recordings, tmp_path, reference):
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

    cuts = []
    for n in (1, 3):
        path = recordings / f"anna/take-1.{n}.wav"
        recording = Recording.from_file(path, recording_id=f"r{n}")
        said = SupervisionSegment(f"s{n}", f"r{n}", 0.0, 0.3, text=f"said {n}", speaker="anna")
        cuts.append(MonoCut(f"c{n}", 0.1, 0.3, 0, [said], recording=recording))
        cuts.append(MonoCut(f"whole{n}", 0.0, recording.duration, 0, [], recording=recording))
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
    export(tmp_path / "cuts.jsonl.gz", tmp_path / "out", "--format", "shar", code=0)
    back = {c.id: c for c in CutSet.from_shar(in_dir=str(tmp_path / "out/data"))}
    assert list(back) == [c.id for c in cuts]
    for cut in cuts:
        assert back[cut.id].recording == cut.recording and back[cut.id].start == cut.start
        assert back[cut.id].duration == pytest.approx(cut.duration, abs=1e-4)
        assert back[cut.id].load_audio().shape == cut.load_audio().shape
    assert back["c1"].supervisions[0].text == "said 1"
    assert np.array_equal(back["whole3"].target_codes.load(), reference["anna/take-1.3"])
    # 0.3 s and the codec's delay: 16 frames.
    assert back["c1"].target_codes.shape == [reference["anna/take-1.1"].shape[0], 16]


def test_webdataset_reads_its_tars(shards, reference):
    import webdataset

    urls = sorted(map(str, (shards["webdataset"] / "data").glob("shard-*.tar")))
    assert len(urls) == 3
    rows = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    assert [row["json"]["id"] for row in rows] == list(reference)
    for row in rows:
        assert np.array_equal(row["npy"], reference[row["json"]["id"]])
        assert row["json"]["text"] == text_of(row["json"]["id"])


def test_pyarrow_and_datasets_read_parquet(shards, reference, tmp_path):
    import datasets
    import pyarrow as pa
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(shards["parquet"] / "data", format="parquet").to_table()
    row = pa.list_(pa.field("element", pa.uint16(), False))
    assert table.schema.field("codes").type == pa.list_(pa.field("element", row, False))
    rows = datasets.load_dataset("parquet", data_dir=str(shards["parquet"] / "data"), split="train", cache_dir=str(tmp_path))
    for row, other in zip(table.to_pylist(), rows, strict=True):
        assert np.array_equal(np.array(row["codes"], np.uint16), reference[row["id"]])
        assert row == other and row["text"] == text_of(row["id"]) and row["speaker"] == row["id"].split("/")[0]
        assert row["frame_rate"] == 50.0
    tensors = rows.with_format("torch")
    codes = tensors[0]["codes"]
    codes = torch.stack(list(codes)) if isinstance(codes, list) else codes
    assert np.array_equal(codes.numpy(), reference[rows[0]["id"]])


def test_every_type_of_codes(recordings, reference, tmp_path):
    from lhotse import CutSet
    from safetensors.torch import load_file

    for dtype, torch_type in (("int32", torch.int32), ("int64", torch.int64)):
        export(recordings / "train.json", tmp_path / dtype, "--format", "shar", "--dtype", dtype)
        cut = next(iter(CutSet.from_shar(in_dir=str(tmp_path / dtype / "data"))))
        tensor = torch.from_numpy(cut.target_codes.load())
        assert tensor.dtype == torch_type and np.array_equal(tensor.numpy(), reference[cut.id])
    export(recordings / "train.json", tmp_path / "files", "--format", "safetensors", "--dtype", "int64")
    codes = load_file(tmp_path / "files/anna/take-1.1.safetensors")["codes"]
    # An embedding takes these as they are.
    assert torch.nn.Embedding(1024, 2)(codes).shape == (*codes.shape, 2)
    assert np.array_equal(codes.numpy(), reference["anna/take-1.1"])


def test_uint16_goes_into_torch_as_documented(shards, reference):
    from lhotse import CutSet

    codes = next(iter(CutSet.from_shar(in_dir=str(shards["shar"] / "data")))).target_codes.load()
    tensor = torch.from_numpy(codes)
    assert tensor.dtype == torch.uint16 and tensor.data_ptr() == codes.ctypes.data
    assert np.array_equal(tensor.long().numpy(), codes)


def test_a_failure_is_listed_and_the_rest_is_there(shards):
    for folder in shards.values():
        failures = [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]
        assert [(f["id"], f["shard"]) for f in failures] == [("broken", "000002")]
        index = json.loads((folder / "index.json").read_text())
        assert index["totals"]["utterances"] == 9 and [s["utterances"] for s in index["shards"]] == [4, 4, 1]
