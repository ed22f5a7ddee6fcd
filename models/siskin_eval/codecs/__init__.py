"""The codecs under comparison behind one shape: a clip in, a file's bytes, a clip out, CPU seconds each way.

A specification is NAME:RATE:OPTION..., such as siskin:6000, opus:9000:nolace or lyra:6000.
"""
import tempfile
from pathlib import Path

from .base import ROOT, Codec, Coded, Missing, Original, Places
from .codec2 import Codec2
from .lyra import Lyra
from .opus import FfmpegOpus, Opus
from .reference import Reference
from .siskin import Siskin

__all__ = ["ROOT", "Coded", "Codec", "Missing", "Places", "code", "make"]

CODECS = {"siskin": Siskin, "opus": Opus, "ffmpeg-opus": FfmpegOpus, "codec2": Codec2, "lyra": Lyra,
          "reference": Reference}


def make(spec, places, notices):
    """The codec of a specification, or nothing and a notice that says what is missing."""
    name, *rest = spec.split(":")
    if name == "original":
        return Original()
    try:
        rate = int(rest[0])
        options = dict((o.split("=") + [""])[:2] for o in rest[1:])
        kind = CODECS[name]
    except (KeyError, ValueError, IndexError):
        raise SystemExit(f"codec {spec!r} is not like {', '.join(f'{n}:6000' for n in CODECS)} or original") from None
    try:
        return kind(places, rate, options)
    except Missing as error:
        notices.append(f"codec {spec} left out: {error}")
        return None


def code(codec, pcm, losses):
    """Codes one clip: the sizes, and for each loss (None: none) the output and the decoder's CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        coded = codec.encode(pcm, Path(folder))
        return coded, {loss: codec.decode(coded, loss) for loss in losses}
