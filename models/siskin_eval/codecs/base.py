"""The one shape that every codec has, and how programs are run and timed."""
import hashlib
import resource
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile as sf

from ..clips import RATE

ROOT = Path(__file__).resolve().parents[3]


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
