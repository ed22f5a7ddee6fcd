"""Our own program with a bundle."""
import json
import subprocess
from functools import lru_cache

import numpy as np

from .base import Codec, Coded, Missing, digest, run, write


@lru_cache
def knows(program, verb, option):
    """Whether a program's help names an option."""
    return option in subprocess.run([str(program), verb, "--help"], capture_output=True, text=True).stdout


class Siskin(Codec):
    """Our own program and a bundle; `packets`: one frame a packet, as on a network; `red=N`: copies of N frames;
    `vbr`: the rate is that of the packets on average, whatever their stages; `of=N`: the first stages of N that were coded,
    as whoever lowers the rate of a stream leaves them. Its rate is that of coding so many stages."""

    def __init__(self, places, rate, options):
        for path in (places.siskin, places.bundle / "manifest.json"):
            if not path.exists():
                raise Missing(f"{path} is not there (cargo build --release -p siskin, or name it with --siskin / --bundle)")
        for verb, flag, wanted in (("decode", "--loss", "packets" in options), ("encode", "--redundancy", "red" in options),
                                   ("decode", "--stages", "of" in options)):
            if wanted and not knows(places.siskin, verb, flag):
                raise Missing(f"{places.siskin} is older than its option {flag}")
        self.places, self.rate, self.options = places, rate, options
        manifest = json.loads((places.bundle / "manifest.json").read_text())
        self.files = [places.bundle / f for f in sorted(manifest["files"])]
        fitting = [p for p in manifest["prefixes"] if p["bitrate"] <= rate]
        if not fitting:
            raise Missing(f"the bundle has no rate of {rate} bit/s or below")
        self.stages = max(fitting, key=lambda p: p["bitrate"])["stages"]
        self.amount = ["--bitrate", rate, "--vbr"] if "vbr" in options else ["--stages", self.stages]
        self.family = "Siskin" + (" in packets" if "packets" in options else "")
        extra = "".join(f", {n} copies" for n in [options.get("red")] if n)
        self.whole = int(options.get("of", 0))
        if self.whole:
            if self.whole <= self.stages or "vbr" in options:
                raise SystemExit(f"siskin:{rate} has {self.stages} stages of every frame, which are no first ones of {self.whole}")
            self.family += f", first stages of {self.whole}"
            extra += f", {self.stages} stages of {self.whole}"
        self.label = f"Siskin {rate / 1000:g}k{' VBR' * ('vbr' in options)}{extra}"
        self.extra = ["--frames-per-packet", "1"] if "packets" in options else []
        if options.get("red"):
            self.extra += ["--redundancy", options["red"]]
        if options.get("redbooks"):
            self.extra += ["--redundancy-stages", options["redbooks"]]

    def fingerprint(self):
        return f"{digest(self.places.siskin)}-{digest(*self.files)}-{self.rate}-{self.stages}-{sorted(self.options.items())}"

    def encode(self, pcm, folder):
        source, target = folder / "in.wav", folder / "out.mka"
        write(source, pcm)

        def coded(amount, target):
            return run([self.places.siskin, "encode", "--json", "-y", "--model", self.places.bundle, *amount, *self.extra,
                        source, target])

        last, cpu = coded(self.amount, target)
        if self.whole:
            coded(["--stages", self.whole], folder / "whole.mka")
        return Coded(target, json.loads(last)["packet_bytes"], target.stat().st_size, cpu)

    def decode(self, coded, loss):
        target = coded.path.with_suffix(".f32")
        how = [] if loss is None else ["--loss", f"{100 * loss.share:g}%", "--loss-model", loss.model, "--seed", loss.seed]
        if loss is not None and loss.model == "burst":
            how += ["--loss-burst", f"{loss.burst:g}"]
        path = coded.path
        if self.whole:
            path, how = path.with_name("whole.mka"), [*how, "--stages", self.stages]
        _, cpu = run([self.places.siskin, "decode", "--json", "-y", "--model", self.places.bundle, *how, path, target])
        return np.fromfile(target, "<f4"), cpu
