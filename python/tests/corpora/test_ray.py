"""siskin.ray on a local cluster of two nodes, of which one dies in mid run."""
import io
import json
import tarfile
import threading
import time

import numpy as np
import pytest
from conftest import export, voice

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

import siskin.ray  # noqa: E402
from siskin import Encoder, audio  # noqa: E402


@pytest.fixture
def cluster():
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    second = made.add_node(num_cpus=2)
    ray.init(address=made.address, logging_level="ERROR")
    made.wait_for_nodes()
    yield made, second
    ray.shutdown()
    made.shutdown()


def data_files(folder):
    return {p.name: p.read_bytes() for p in (folder / "data").iterdir()}


def ids_of(folder):
    found = []
    for path in sorted((folder / "data").glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [json.load(io.BytesIO(tar.extractfile(m).read()))["id"] for m in tar if m.name.endswith(".json")]
    return found


def test_a_node_dies_and_every_utterance_is_there_once(cluster, tmp_path):
    import soundfile as sf

    made, second = cluster
    source, out, whole = tmp_path / "source", tmp_path / "out", tmp_path / "whole"
    source.mkdir()
    for n in range(36):
        sf.write(source / f"{n:02}.wav", voice(48_000, 100 + 3 * n), 24_000)
    killed = threading.Event()

    def kill_when_at_work():
        # As soon as a shard is finished both nodes have others at hand.
        while not list((out / "state").glob("0*.json")):
            time.sleep(0.05)
        made.remove_node(second, allow_graceful=False)
        killed.set()

    threading.Thread(target=kill_when_at_work, daemon=True).start()
    totals = siskin.ray.tokenize(source, out, format="webdataset", shard_size=3, stages=3, concurrency=2)
    assert killed.is_set(), "the node died before the end"
    assert (totals["utterances"], totals["failed"], totals["shards"]) == (36, 0, 12)
    assert ids_of(out) == [f"{n:02}" for n in range(36)]
    # The program makes the same files on one machine.
    export(source, whole, "--format", "webdataset", "--shard-size", "3", code=0)
    assert data_files(out) == data_files(whole)
    assert (out / "index.json").read_text() == (whole / "index.json").read_text()
    assert not list((out / "state/tmp").iterdir()) or not list((out / "data").glob("*.tmp"))
    # Again: everything is there.
    again = siskin.ray.tokenize(source, out, format="webdataset", shard_size=3, stages=3)
    assert (again["utterances"], again["skipped"]) == (0, 36)


def test_datasets_with_sound_and_with_paths(cluster, recordings, reference, tmp_path):
    paths = [str(recordings / f"anna/take-1.{n}.wav") for n in (1, 3)]
    rows = siskin.ray.tokenize(ray.data.read_audio(paths, include_paths=True), stages=3, concurrency=1).take_all()
    assert len(rows) == 2
    for row in rows:
        id = row["path"].split("recordings", 1)[1].split("/", 1)[1].removesuffix(".wav")
        assert np.array_equal(np.asarray(row["codes"]), reference[id]) and row["error"] == "" and row["samples"] > 9600
    bad = siskin.ray.tokenize(ray.data.from_items([{"path": str(recordings / "broken.wav")}]), stages=3, concurrency=1).take_all()
    assert "broken.wav" in bad[0]["error"] and np.asarray(bad[0]["codes"]).shape[1] == 0
    with pytest.raises(ValueError, match="a column path is needed"):
        siskin.ray.tokenize(ray.data.from_items([{"audio": [0.0]}]), tmp_path / "x")
    listed = ray.data.from_items([{"path": p, "id": p[-5], "text": f"text {p[-5]}"} for p in paths])
    totals = siskin.ray.tokenize(listed, tmp_path / "out", format="webdataset", stages=3, concurrency=1)
    assert totals["utterances"] == 2 and ids_of(tmp_path / "out") == ["1", "3"]


def test_a_manifest_gives_the_same_shar_as_the_program(cluster, recordings, tmp_path):
    totals = siskin.ray.tokenize(recordings / "train.json", tmp_path / "ray", shard_size=4, stages=3, concurrency=1)
    assert (totals["utterances"], totals["failed"]) == (9, 1)
    export(recordings / "train.json", tmp_path / "program", "--format", "shar", "--shard-size", "4")
    assert data_files(tmp_path / "ray") == data_files(tmp_path / "program")
    assert [json.loads(line)["id"] for line in (tmp_path / "ray/failures.jsonl").read_text().splitlines()] == ["broken"]


def test_reading_agrees_with_the_program_at_other_rates(recordings, tmp_path):
    """Two resamplers: not the same codes, but the same length."""
    import soundfile as sf

    sf.write(tmp_path / "a.wav", voice(44_100, 150, 44_100), 44_100)
    codes, known = audio.encode(Encoder(stages=3), {"id": "a", "sound": {"file": str(tmp_path / "a.wav")}})
    export(tmp_path / "a.wav", tmp_path / "a.npy", code=0)
    assert codes.shape == np.load(tmp_path / "a.npy").shape
    assert abs(known["samples"] - 24_000) <= 1 and known["file_rate"] == 44_100
