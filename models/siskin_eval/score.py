"""Runs every codec over every clip and gathers one row for each: what was lost, how large it was, how it scored."""
import math
import sys
import time

import numpy as np

from . import codecs, metrics
from .cache import Cache
from .clips import RATE


def rows(codec, clips, losses, measures, folder, say=None):
    """Rows of one codec: {codec, family, clip, voice, condition, loss, kbps, disk_kbps, metric...}."""
    cache, found = Cache(folder, codec.label, codec.fingerprint()), []
    outputs = Cache(folder, f"{codec.label} outputs", "samples")
    for clip in clips:
        wanted = {loss: {m.name: f"{m.name}@{m.version()}" for m in measures if m.when(clip, loss)} for loss in losses}
        held = {loss: cache.get(cache.key(clip, loss), ["packet_bytes", *wanted[loss].values()]) for loss in losses}
        todo = [loss for loss in losses if held[loss] is None]
        if todo:
            coded, decoded = codecs.code(codec, clip.pcm, todo)
            for loss in todo:
                pcm, names = decoded[loss][0], wanted[loss]
                key = outputs.output_key(clip, pcm)
                row = outputs.get(key, names.values())
                if row is None:
                    row = {names[n]: v for n, v in metrics.score(measures, clip, pcm, loss).items()}
                    outputs.put(key, row)
                cache.put(cache.key(clip, loss), {"packet_bytes": coded.packet_bytes, "disk_bytes": coded.disk_bytes, **row})
                held[loss] = cache.get(cache.key(clip, loss), names.values())
        for loss in losses:
            row = held[loss]
            found.append({
                "codec": codec.label, "family": codec.family, "clip": clip.name, "voice": clip.speaker, "pitch": clip.pitch,
                "condition": clip.condition, "loss": loss, "kbps": 0.008 * row["packet_bytes"] / clip.seconds,
                "disk_kbps": 0.008 * row["disk_bytes"] / clip.seconds,
                **{name: row[stored] for name, stored in wanted[loss].items()}})
        if say:
            say(codec.label, len(found) // len(losses), len(clips))
    return found


def progress(label, done, of):
    """A line on stderr that is written over; on a log file only the last of each codec."""
    if sys.stderr.isatty():
        print(f"\r{label}: {done}/{of} clips ", end="\n" if done == of else "", file=sys.stderr, flush=True)
    elif done == of:
        print(f"{time.strftime('%H:%M:%S')} {label}: {of} clips", file=sys.stderr, flush=True)


HIGH = 170.0  # Hz: median pitch from which a voice counts as high


def voices(found, names):
    """Means of the clean rows, high and low voices apart."""
    out = []
    for name, chosen in (("high", [r for r in found if r["pitch"] >= HIGH]), ("low", [r for r in found if r["pitch"] < HIGH])):
        out += [{**row, "voices": name} for row in means([r for r in chosen if r["condition"] == "clean"], names)]
    order = list(dict.fromkeys(r["codec"] for r in found))
    return sorted(out, key=lambda r: order.index(r["codec"]))


def means(found, names):
    """One row for each codec, condition and loss, in the order of appearance: means over its clips, and their number."""
    groups = {}
    for row in found:
        groups.setdefault((row["codec"], row["condition"], row["loss"]), []).append(row)
    out = []
    for (codec, condition, loss), members in groups.items():
        out.append({"codec": codec, "family": members[0]["family"], "condition": condition, "loss": loss,
                    "clips": len(members), **{n: mean([m.get(n) for m in members]) for n in ("kbps", "disk_kbps", *names)}})
    return out


def mean(values):
    """Over what is there; nothing when nothing is."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    return float(np.mean(known)) if known else None


def speed(codec, clips, seconds=20.0):
    """CPU seconds for a second of sound on one core, encoder and decoder, start-up taken off.

    CPU time of the program for a long clip less that for a short one, so that a busy machine disturbs little.
    """
    pcm = np.concatenate([c.pcm for c in clips])
    pcm = np.resize(pcm, int(seconds * RATE)).astype(np.float32)
    short, cost = pcm[:RATE // 2], []
    for part in (short, pcm):
        coded, outputs = codecs.code(codec, part, [None])
        cost.append((coded.encode_cpu, outputs[None][1]))
    span = (len(pcm) - len(short)) / RATE
    return {"codec": codec.label, "encode_rtf": max(0.0, cost[1][0] - cost[0][0]) / span,
            "decode_rtf": max(0.0, cost[1][1] - cost[0][1]) / span}
