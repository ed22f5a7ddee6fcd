"""Codec 2 by its own programs."""
import shutil

import numpy as np
from scipy.signal import resample_poly

from .base import Codec, Coded, Missing, digest, run


class Codec2(Codec):
    """Codec 2 (Debian's `codec2`), 8 kHz."""

    takes_loss = False
    DELAY = 480  # samples at 24 kHz, measured by correlation: one 20 ms frame

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
        return resample_poly(np.fromfile(target, "<i2").astype(np.float32) / 32768, 3, 1)[self.DELAY:], cpu
