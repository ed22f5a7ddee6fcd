"""Opus: libopus 1.6.1 with its neural parts through our own small program, and whatever FFmpeg has."""
import json
import shutil

import numpy as np
import soundfile as sf

from ..clips import RATE
from .base import Codec, Coded, Missing, digest, run, write


class Opus(Codec):
    """libopus 1.6.1 through models/peers/opus, voice mode: plain, plc (deep concealment), lace, nolace; `dred=N`."""

    COMPLEXITY = {"plain": 0, "plc": 5, "lace": 6, "nolace": 10}

    def __init__(self, places, rate, options):
        if not places.opus_peer.exists():
            raise Missing(f"{places.opus_peer} is not there (apt-get install cmake; cargo build --release --manifest-path "
                          "models/peers/opus/Cargo.toml --target-dir target/peers)")
        self.program, self.rate = places.opus_peer, rate
        kind = next((o for o in options if o in self.COMPLEXITY), "plain")
        self.complexity = self.COMPLEXITY[kind]
        self.dred, self.expect = options.get("dred", "0"), options.get("expect", "10" if "dred" in options else "0")
        name = {"plain": "", "plc": " deep PLC", "lace": " LACE", "nolace": " NoLACE"}[kind]
        self.family = f"Opus 1.6{name}" + (" DRED" if int(self.dred) else "")
        self.label = f"Opus {rate / 1000:g}k{name}" + (f" DRED {self.dred}" if int(self.dred) else "")

    def fingerprint(self):
        return f"{digest(self.program)}-{self.rate}-{self.complexity}-{self.dred}-{self.expect}"

    def encode(self, pcm, folder):
        source, target = folder / "in.wav", folder / "out.opus"
        write(source, pcm)
        last, cpu = run([self.program, "encode", "--bitrate", self.rate, "--dred", self.dred, "--expect-loss", self.expect,
                         source, target])
        self.packets = json.loads(last)["packets"]
        return Coded(target, json.loads(last)["packet_bytes"], target.stat().st_size, cpu)

    def decode(self, coded, loss):
        target, how = coded.path.with_suffix(".wav"), []
        if loss is not None:
            lost = coded.path.with_suffix(".lost")
            lost.write_text("\n".join(map(str, np.flatnonzero(loss.pattern(self.packets)))))
            how = ["--lost", lost]
        _, cpu = run([self.program, "decode", "--complexity", self.complexity, *how, coded.path, target])
        return sf.read(target, dtype="float32")[0], cpu


class FfmpegOpus(Codec):
    """Whatever libopus FFmpeg was built with, voice mode."""

    takes_loss = False

    def __init__(self, places, rate, options):
        if not shutil.which("ffmpeg"):
            raise Missing("the program ffmpeg is not installed (apt-get install ffmpeg)")
        self.rate, self.family, self.label = rate, "Opus of FFmpeg", f"Opus of FFmpeg {rate / 1000:g}k"

    def fingerprint(self):
        return f"{run(['ffmpeg', '-version'])[0]}-{self.rate}"

    def encode(self, pcm, folder):
        source, target = folder / "in.wav", folder / "out.opus"
        write(source, pcm)
        base = ["ffmpeg", "-v", "error", "-y", "-i", source, "-c:a", "libopus", "-b:a", self.rate, "-application", "voip"]
        _, cpu = run([*base, target])
        raw = folder / "packets.data"
        run(["ffmpeg", "-v", "error", "-y", "-i", target, "-map", "0:a", "-c", "copy", "-f", "data", raw])
        return Coded(target, raw.stat().st_size, target.stat().st_size, cpu)

    def decode(self, coded, loss):
        target = coded.path.with_suffix(".wav")
        _, cpu = run(["ffmpeg", "-v", "error", "-y", "-i", coded.path, "-ar", RATE, target])
        return sf.read(target, dtype="float32")[0], cpu
