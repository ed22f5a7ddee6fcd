"""The codecs under comparison behind one shape: a clip in, a file's bytes, a clip out, CPU seconds each way.

A specification is NAME:RATE:OPTION..., such as siskin:6000, opus:9000:nolace or lyra:6000; `make` explains.
"""
import hashlib
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from .clips import RATE

ROOT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """A codec cannot run here; the message says what it lacks."""


@dataclass(frozen=True)
class Coded:
    """A clip that was coded: bytes of the packets alone and of the file, CPU seconds of the encoder."""

    path: Path
    packet_bytes: int
    disk_bytes: int
    encode_cpu: float


@dataclass(frozen=True)
class Places:
    """Where programs, bundles and weights lie."""

    siskin: Path = ROOT / "target/release/siskin"
    bundle: Path = ROOT / "models/bundles/speech-24k"
    opus_peer: Path = ROOT / "target/peers/release/opus-peer"
    lyra: Path | None = None


def run(command, env=None):
    """Runs a program on the core that we are on; its last line of output and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-400:]}")
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else "", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@lru_cache
def digest(*paths):
    total = hashlib.sha256()
    for path in paths:
        total.update(Path(path).read_bytes())
    return total.hexdigest()[:16]


def write(path, pcm, rate=RATE):
    sf.write(path, pcm, rate, subtype="FLOAT")


class Codec:
    """What the others fill in. `family` joins the points of a plot, `label` names a row."""

    family = label = ""
    takes_loss = True

    def fingerprint(self):
        """Changes when the output may change: scores are stored under it."""
        raise NotImplementedError

    def encode(self, pcm, folder):
        raise NotImplementedError

    def decode(self, coded, loss):
        """(pcm at 24 kHz aligned with the input, CPU seconds)."""
        raise NotImplementedError


@lru_cache
def knows(program, verb, option):
    """Whether a program's help names an option."""
    return option in subprocess.run([str(program), verb, "--help"], capture_output=True, text=True).stdout


class Original(Codec):
    """The recording itself: what a metric says of no loss at all."""

    family = label = "original"
    takes_loss = False

    def fingerprint(self):
        return "original"

    def encode(self, pcm, folder):
        self.pcm = pcm
        return Coded(folder, 2 * len(pcm), 2 * len(pcm) + 44, 0.0)

    def decode(self, coded, loss):
        return self.pcm, 0.0


class Siskin(Codec):
    """Our own program and a bundle; `packets`: one frame a packet, as on a network; `red=N`: copies of N frames."""

    def __init__(self, places, rate, options):
        for path in (places.siskin, places.bundle / "manifest.json"):
            if not path.exists():
                raise Missing(f"{path} is not there (cargo build --release -p siskin, or name it with --siskin / --bundle)")
        for verb, flag, wanted in (("decode", "--loss", "packets" in options), ("encode", "--redundancy", "red" in options)):
            if wanted and not knows(places.siskin, verb, flag):
                raise Missing(f"{places.siskin} is older than its option {flag}")
        self.places, self.rate, self.options = places, rate, options
        manifest = json.loads((places.bundle / "manifest.json").read_text())
        self.files = [places.bundle / f for f in sorted(manifest["files"])]
        fitting = [p for p in manifest["prefixes"] if p["bitrate"] <= rate]
        if not fitting:
            raise Missing(f"the bundle has no rate of {rate} bit/s or below")
        self.stages = max(fitting, key=lambda p: p["bitrate"])["stages"]
        self.family = "Siskin" + (" in packets" if "packets" in options else "")
        extra = "".join(f", {n} copies" for n in [options.get("red")] if n)
        self.label = f"Siskin {rate / 1000:g}k{extra}"
        self.extra = ["--frame-size", "1"] if "packets" in options else []
        if options.get("red"):
            self.extra += ["--redundancy", options["red"]]
        if options.get("redbooks"):
            self.extra += ["--redundancy-codebooks", options["redbooks"]]

    def fingerprint(self):
        return f"{digest(self.places.siskin)}-{digest(*self.files)}-{self.stages}-{sorted(self.options.items())}"

    def encode(self, pcm, folder):
        source, target = folder / "in.wav", folder / "out.mka"
        write(source, pcm)
        last, cpu = run([self.places.siskin, "encode", "--json", "-y", "--model", self.places.bundle,
                         "--codebooks", self.stages, *self.extra, source, target])
        return Coded(target, json.loads(last)["packet_bytes"], target.stat().st_size, cpu)

    def decode(self, coded, loss):
        target = coded.path.with_suffix(".f32")
        how = [] if loss is None else ["--loss", f"{100 * loss.share:g}%", "--loss-model", loss.model, "--seed", loss.seed]
        if loss is not None and loss.model == "burst":
            how += ["--loss-burst", f"{loss.burst:g}"]
        _, cpu = run([self.places.siskin, "decode", "--json", "-y", "--model", self.places.bundle, *how, coded.path, target])
        return np.fromfile(target, "<f4"), cpu


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


class Codec2(Codec):
    """Codec 2 (Debian's `codec2`), 8 kHz."""

    takes_loss = False
    DELAY = 0

    def __init__(self, places, rate, options):
        if not shutil.which("c2enc"):
            raise Missing("the programs c2enc and c2dec are not installed (apt-get install codec2)")
        self.rate, self.family, self.label = rate, "Codec 2", f"Codec 2 {rate / 1000:g}k"

    def fingerprint(self):
        return f"{digest(shutil.which('c2enc'))}-{self.rate}"

    def encode(self, pcm, folder):
        source, target = folder / "in.raw", folder / "out.c2"
        narrow = np.pad(resample_poly(pcm, 1, 3), (0, 640))  # a frame more than the clip, so that its end is coded
        np.clip(np.round(narrow * 32767), -32768, 32767).astype("<i2").tofile(source)
        _, cpu = run(["c2enc", self.rate, source, target])
        size = target.stat().st_size * len(pcm) // (len(pcm) + 3 * 640)
        return Coded(target, size, size, cpu)

    def decode(self, coded, loss):
        target = coded.path.with_suffix(".raw8")
        _, cpu = run(["c2dec", self.rate, coded.path, target])
        return resample_poly(np.fromfile(target, "<i2").astype(np.float32) / 32768, 3, 1), cpu


class Lyra(Codec):
    """Lyra V2 through the script `lyra_roundtrip.py` that lies beside its weights; 16 kHz, lost packets give zeros."""

    def __init__(self, places, rate, options):
        folder = places.lyra or (Path(os.environ["SISKIN_LYRA_DIR"]) if os.environ.get("SISKIN_LYRA_DIR") else None)
        if folder is None:
            raise Missing("no folder with Lyra's weights (--lyra FOLDER or SISKIN_LYRA_DIR)")
        self.files = [folder / n for n in ("lyra_roundtrip.py", "soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")]
        for path in self.files:
            if not path.exists():
                raise Missing(f"{path} is not there")
        if rate % 200 or not 200 <= rate <= 9200:
            raise SystemExit(f"lyra:{rate}: its rates are multiples of 200 up to 9200")
        self.rate, self.family, self.label = rate, "Lyra V2", f"Lyra V2 {rate / 1000:g}k"
        self.module, self.net = lyra(folder)

    def fingerprint(self):
        return f"{digest(*self.files)}-{self.rate}"

    def encode(self, pcm, folder):
        m = self.module
        narrow = resample_poly(pcm, 2, 3)
        narrow = np.pad(narrow, (0, -len(narrow) % m.HOP))
        narrow = (np.round(np.clip(narrow, -1, 32767 / 32768) * 32768) / 32768).astype(np.float32)
        stages, start = self.rate // (m.BITS * m.FPS), time.process_time()
        self.packets = [m.pack(self.net.quantize(self.net.features(hop), stages)) for hop in narrow.reshape(-1, m.HOP)]
        cpu = time.process_time() - start
        target = folder / "out.lyra"
        target.write_bytes(b"".join(self.packets))
        return Coded(target, target.stat().st_size, target.stat().st_size, cpu)

    def decode(self, coded, loss):
        m, stages = self.module, self.rate // (self.module.BITS * self.module.FPS)
        lost = np.zeros(len(self.packets), bool) if loss is None else loss.pattern(len(self.packets))
        start, out = time.process_time(), []
        for packet, gone in zip(self.packets, lost):
            features = np.zeros(m.DIM, np.float32) if gone else self.net.dequantize(m.unpack(packet, stages))
            out.append(self.net.synth(features))
        cpu = time.process_time() - start
        return resample_poly(np.concatenate(out), 3, 2).astype(np.float32), cpu


@lru_cache
def lyra(folder):
    """The script as a module, and its networks."""
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("lyra_roundtrip")
        return module, module.Lyra(str(folder))
    except ImportError as error:
        raise Missing(f"Python package {error.name} is not installed (pip install -r models/requirements-eval.txt)") from None
    finally:
        sys.path.remove(str(folder))


CODECS = {"siskin": Siskin, "opus": Opus, "ffmpeg-opus": FfmpegOpus, "codec2": Codec2, "lyra": Lyra}


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
