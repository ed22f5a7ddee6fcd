"""Corpora on many machines, by Ray Data: `tokenize`. Needs the extra `ray`.

Ray does what a scheduler does: it starts an actor with an encoder for each core, hands out work as they get free, holds back
reading when they do not keep up, and restarts what dies. What is here makes the result exact: a shard is written by whoever
has its utterances, its files get their names when they are whole, and a second attempt finds it finished or writes the same
bytes.
"""
import json
import os

import numpy as np

from . import Corpus, Encoder, read_manifest
from .audio import Unreadable, encode, resampler, utterances_of, write_shard

__all__ = ["tokenize"]


class _Shards:
    """An actor: rows of shards in, rows of summaries out."""

    def __init__(self, folder, format, dtype, keep_silence, encoder):
        self.folder, self.format, self.dtype, self.keep_silence = folder, format, dtype, keep_silence
        self.encoder = Encoder(**encoder)

    def __call__(self, row):
        number = int(row["shard"])
        try:
            summary = write_shard(self.folder, number, json.loads(row["utterances"]), self.encoder, self.format, self.dtype,
                                  self.keep_silence)
        # A full disk, a mount that is gone: the shard is listed as lost, and the others go on.
        except OSError as error:
            return {"shard": number, "utterances": 0, "seconds": 0.0, "lost": str(error)}
        return {"shard": number, "utterances": summary["utterances"], "seconds": summary["seconds"], "lost": ""}


class _Rows:
    """An actor: rows with sound in, rows with codes out."""

    def __init__(self, encoder):
        self.encoder = Encoder(**encoder)

    def __call__(self, row):
        out = {k: v for k, v in row.items() if k not in ("amplitude", "audio", "sample_rate")}
        try:
            codes, samples = self.encode(row)
            out |= {"codes": codes, "samples": samples, "error": ""}
        except Unreadable as reason:
            out |= {"codes": np.zeros((self.encoder.codes_per_frame, 0), np.uint16), "samples": 0, "error": str(reason)}
        return out | {"frame_rate": self.encoder.frame_rate, "model": self.encoder.model}

    def encode(self, row):
        sound = row.get("amplitude", row.get("audio"))
        if sound is None:
            codes, known = encode(self.encoder, _utterance(row, row["path"]))
            return codes, known["samples"]
        sound = np.asarray(sound, np.float32)
        # `read_audio` gives [channels, samples].
        mono = sound if sound.ndim == 1 else sound.mean(0)
        rate = int(row["sample_rate"])
        pcm = resampler(rate, self.encoder.sample_rate)(np.ascontiguousarray(mono), True)
        if not len(pcm):
            raise Unreadable("no audio samples")
        return self.encoder.encode(pcm), len(pcm)


def _utterance(row, path):
    """A row with a path as an utterance; missing columns are missing knowledge."""
    found = {"id": str(row.get("id") or os.path.splitext(str(path))[0].lstrip("/")), "sound": {"file": str(path)},
             "start": float(row.get("start") or 0.0)}
    for key in ("duration", "channel", "text", "speaker"):
        if row.get(key) is not None:
            found[key] = row[key]
    return found


def tokenize(source, output=None, *, format="shar", shard_size=1000, dtype="uint16", model="speech-24k", stages=None,
             search_width=8, keep_silence=False, manifest=None, anew=False, retry_failed=False, concurrency=None,
             ray_remote_args=None):
    """Tokenizes `source` with one encoder in each actor.

    Without `output` the source is a `ray.data.Dataset` with a column `amplitude` or `audio` and `sample_rate`, as
    `ray.data.read_audio` makes it, or with a column `path`; the result is that dataset, lazy, with the columns `codes` (uint16
    [K, T]), `samples`, `frame_rate`, `model` and `error` (empty where all is well) in place of the sound.

    With `output`, a folder that every node can write, the result is a corpus of shards there, the same bytes as
    `siskin tokens export` writes, and totals are returned. The source is a manifest of Lhotse, Kaldi or NeMo (`manifest` names
    its format where its content does not), a folder or list of files, or a dataset with the column `path` and, where there are
    such, `id`, `start`, `duration`, `channel`, `text` and `speaker`. A run that was killed goes on where it stopped. Every shard is
    in the corpus once, whatever dies; what cannot be encoded is in `failures.jsonl`.

    `concurrency` is the number of actors, or a tuple of the smallest and the largest; by default one for each core of the
    cluster. `ray_remote_args` go to the actors; by default each takes one CPU.
    """
    # Here and not above: the module can be imported, and its documentation read, where there is no Ray.
    import ray
    import ray.data

    options = dict(model=model, stages=stages, search_width=search_width)
    remote = {"num_cpus": 1} | (ray_remote_args or {})
    if output is None:
        if not isinstance(source, ray.data.Dataset):
            raise TypeError("without output the source is a ray.data.Dataset")
        actors = _actors(concurrency, None)
        return source.map(_Rows, fn_constructor_kwargs={"encoder": options}, concurrency=actors, **remote)

    corpus = Corpus(output, _utterances(source, manifest), format, shard_size, dtype, model, stages, search_width, keep_silence,
                    anew, retry_failed)
    rows = [{"shard": n, "utterances": json.dumps(corpus.shard(n))} for n in corpus.due]
    lost = {}
    if rows:
        # A block for each shard, so that a core is free for the next one as soon as it has finished one.
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = dataset.map(_Shards, concurrency=_actors(concurrency, len(rows)), fn_constructor_kwargs={
            "folder": os.fspath(output), "format": format, "dtype": dtype, "keep_silence": keep_silence, "encoder": options,
        }, **remote)
        for row in done.iter_rows():
            if row["lost"]:
                lost[int(row["shard"])] = row["lost"]
    return corpus.collect(lost)


def _actors(concurrency, most):
    """Actors: as asked for, or up to one for each core and each piece of work."""
    import ray

    if concurrency is not None:
        return concurrency
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    return (1, cores if most is None else max(1, min(cores, most)))


def _utterances(source, manifest):
    import ray.data

    if isinstance(source, ray.data.Dataset):
        columns = ["path", "id", "start", "duration", "channel", "text", "speaker"]
        present = [c for c in columns if c in source.schema().names]
        if "path" not in present:
            raise ValueError(f"a dataset with the columns {source.schema().names}, a column path is needed: shards are planned "
                             "by files; without output the result is a dataset, which write_parquet writes")
        rows = source.select_columns(present).take_all()
        # In the order of the names: a dataset has none that is the same in every run.
        return sorted((_utterance(row, row["path"]) for row in rows), key=lambda u: u["id"])
    if manifest is not None:
        return read_manifest(source, manifest)
    if isinstance(source, (str, os.PathLike)):
        try:
            return read_manifest(source)
        except ValueError:
            # No manifest: a folder or a file.
            return utterances_of(source)
    return utterances_of(source)
