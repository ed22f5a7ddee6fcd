"""Recordings to codes: reads files with soundfile and resamples with soxr, both of the extra `corpus`.

The program `siskin` decodes by FFmpeg instead and reads more formats. For files at the bundle's own sample rate both give the
same codes; where a resampler is in between, they are two resamplers.
"""
import math
from pathlib import Path

import numpy as np

# Samples that are read at once: a recording of ten hours takes no more memory than one of a minute.
BLOCK = 1 << 18


class Unreadable(Exception):
    """A recording that cannot be encoded, with the reason."""


def utterances_of(paths):
    """Utterances, as `siskin.read_manifest` returns them, for the files in a folder or a list of paths."""
    import soundfile

    if isinstance(paths, (str, Path)) and Path(paths).is_dir():
        folder = Path(paths)
        endings = {"." + name.lower() for name in soundfile.available_formats()} | {".opus", ".oga", ".aif"}
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings and not p.name.startswith("."))
        named = [(p.relative_to(folder).with_suffix("").as_posix(), p) for p in files]
    else:
        files = [paths] if isinstance(paths, (str, Path)) else list(paths)
        named = [(Path(p).with_suffix("").as_posix().lstrip("/"), Path(p)) for p in files]
    found, seen = [], {}
    for name, path in named:
        if name in seen:
            raise ValueError(f"{seen[name]} and {path} would both be the utterance {name!r}")
        seen[name] = path
        found.append({"id": name, "sound": {"file": str(path)}, "start": 0.0})
    return found


def rounded(value):
    """To the nearest integer, halves up, as the program rounds."""
    return math.floor(value + 0.5)


def blocks(utterance, rate):
    """The samples of an utterance at `rate` as float32 blocks, and the file's own rate with each."""
    import soundfile

    sound = utterance["sound"]
    if "file" not in sound:
        raise Unreadable(sound["refused"])
    path, channel = sound["file"], utterance.get("channel")

    def tried(work, *args, **named):
        # What libsndfile finds in the middle of a file is told as what it finds at its beginning.
        try:
            return work(*args, **named)
        except (OSError, RuntimeError) as error:
            text = str(error)
            raise Unreadable(text if path in text else f"{path}: {text}") from error

    with tried(soundfile.SoundFile, path) as file:
        if channel is not None and channel >= file.channels:
            raise Unreadable(f"{path}: channel {channel} of {file.channels}, allowed: 0 to one less")
        start, duration = utterance.get("start") or 0.0, utterance.get("duration")
        if start < 0 or (duration or 0) < 0:
            raise Unreadable(f"{path}: a part from {start} s on of {duration} s")
        first = min(rounded(start * file.samplerate), file.frames)
        end = file.frames if duration is None else min(rounded((start + duration) * file.samplerate), file.frames)
        if first:
            tried(file.seek, first)
        resample, left = resampler(file.samplerate, rate), end - first
        while left > 0:
            data = tried(file.read, min(BLOCK, left), dtype="float32", always_2d=True)
            if not len(data):
                raise Unreadable(f"{path}: {left} of {end - first} samples are missing at the end")
            left -= len(data)
            # The mean of the channels, which stays within -1..1.
            mono = data.mean(1) if channel is None else data[:, channel]
            yield resample(np.ascontiguousarray(mono), left == 0), file.samplerate


def resampler(source, target):
    """A function of samples and whether they are the last to samples at another rate."""
    if source == target:
        return lambda pcm, _: pcm
    import soxr

    stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")
    return lambda pcm, last: stream.resample_chunk(pcm, last=last)


def encode(encoder, utterance, keep_silence=True):
    """Codes uint16 [K, T] of an utterance and what is known of it: samples at the encoder's rate, the file's rate."""
    encoder.reset()
    pieces, samples, peak, file_rate = [], 0, 0.0, None
    for pcm, file_rate in blocks(utterance, encoder.sample_rate):  # noqa: B007 - the last rate is kept
        pieces.append(encoder.push(pcm))
        samples += len(pcm)
        peak = max(peak, float(np.abs(pcm).max(initial=0.0)))
    pieces.append(encoder.finish())
    path = utterance["sound"]["file"]
    if not samples:
        raise Unreadable(f"{path} holds no audio samples")
    if not keep_silence and peak == 0.0:
        raise Unreadable(f"{path} holds only digital silence")
    return np.concatenate(pieces, axis=1), {"samples": samples, "file_rate": file_rate}


def meta_of(encoder, samples):
    """Metadata of codes, as `siskin.save` and `siskin.ShardWriter` take it."""
    return {"format": 1, "model": encoder.model, "stream_header": encoder.stream_header,
            "codebook_size": encoder.codebook_size, "frame_rate": encoder.frame_rate, "samples": samples}


def write_shard(folder, shard, utterances, encoder, format="shar", dtype="uint16", keep_silence=False):
    """Encodes the utterances of a shard and writes it, unless it is finished; returns its summary.

    Whoever else makes the same shard, at the same time or after a crash, writes the same bytes: the shard is in the corpus once.
    """
    from . import ShardWriter, shard_summary

    done = shard_summary(folder, shard)
    if done is not None:
        return done
    writer = ShardWriter(folder, shard, format, dtype)
    for utterance in utterances:
        try:
            codes, known = encode(encoder, utterance, keep_silence)
        except Unreadable as reason:
            writer.fail(utterance, str(reason))
            continue
        writer.push(utterance, codes, meta_of(encoder, known["samples"]), known["file_rate"])
    return writer.finish()
