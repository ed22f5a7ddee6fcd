"""The example for Spark, as a user runs it."""
import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT, export

pytest.importorskip("pyspark")


def test_the_spark_example_gives_the_programs_codes(recordings, tmp_path):
    import pyarrow.dataset

    export(recordings / "train.json", tmp_path / "all.jsonl", stages=6)
    lines = map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines())
    reference = {line["id"]: line["codes"] for line in lines}

    script = ROOT / "examples/python/tokenize_spark.py"
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run([sys.executable, script, recordings / "train.json", tmp_path / "out.parquet", "2"], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "9 utterances, 1 failures" in done.stdout, done.stderr
    rows = pyarrow.dataset.dataset(tmp_path / "out.parquet", format="parquet").to_table().to_pylist()
    good = {row["id"]: row for row in rows if row["error"] is None}
    assert sorted(good) == sorted(reference)
    for id, row in good.items():
        assert row["codes"] == reference[id] and row["text"].startswith("take number")
    assert [row["id"] for row in rows if row["error"]] == ["broken"]
