"""Codes of a corpus with Spark: `mapInPandas`, one encoder for each Python worker, Parquet out.

  spark-submit examples/python/tokenize_spark.py MANIFEST_OR_FOLDER OUT.parquet [PARTITIONS]

Needs the wheel with its extra `corpus`, pyspark and pandas on every node. Spark repeats the tasks of a lost executor and writes a
partition's file once. Codes are rows of int arrays `[K][T]`, since Spark has no unsigned type.
"""
import sys

COLUMNS = "id string, codes array<array<int>>, frame_rate double, duration double, text string, speaker string, error string"


def encode_batches(batches):
    """Data frames of utterances in, data frames of codes out; runs in Spark's Python workers."""
    import json

    import pandas as pd

    import siskin
    from siskin import audio

    # One for the partition: a network takes a second to open.
    encoder = siskin.Encoder()
    for batch in batches:
        rows = []
        for text in batch["utterance"]:
            utterance = json.loads(text)
            row = {"id": utterance["id"], "frame_rate": encoder.frame_rate, "text": utterance.get("text"),
                   "speaker": utterance.get("speaker"), "codes": [], "duration": 0.0, "error": None}
            try:
                codes, known = audio.encode(encoder, utterance, keep_silence=False)
                row |= {"codes": codes.astype("int32").tolist(), "duration": known["samples"] / encoder.sample_rate}
            except audio.Unreadable as reason:
                row["error"] = str(reason)
            rows.append(row)
        yield pd.DataFrame(rows, columns=[c.split()[0] for c in COLUMNS.split(", ")])


def main(source, output, partitions=None):
    import json

    from pyspark.sql import SparkSession

    import siskin
    from siskin import audio

    try:
        utterances = siskin.read_manifest(source)
    except ValueError:
        utterances = audio.utterances_of(source)
    spark = SparkSession.builder.appName("siskin-tokens").getOrCreate()
    # Arrow carries batches of this many rows: codes of an hour are 4 MB.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
    rows = [(json.dumps(u),) for u in utterances]
    frame = spark.createDataFrame(rows, "utterance string").repartition(int(partitions or max(1, len(rows) // 1000)))
    frame.mapInPandas(encode_batches, COLUMNS).write.mode("overwrite").parquet(str(output))
    made = spark.read.parquet(str(output))
    failed = made.filter("error is not null").count()
    print(f"{made.count() - failed} utterances, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
