"""Lyra V2 from the weights of its repository, run by a script that lies beside them."""
import importlib.util
import os
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from .base import Codec, Coded, Missing, digest


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
        self.module = lyra(folder)

    def fresh(self):
        """Networks that have heard nothing. Their state lies in the interpreters: after another clip the first 0.75 s came out
        with a difference 10 dB below the speech, also after `reset_all_variables`. So there are new interpreters for each clip
        and each pattern of losses."""
        return self.module.Lyra(str(self.files[0].parent))

    def fingerprint(self):
        return f"{digest(*self.files)}-{self.rate}-fresh"

    def encode(self, pcm, folder):
        m = self.module
        narrow = resample_poly(pcm, 2, 3)
        narrow = np.pad(narrow, (0, -len(narrow) % m.HOP))
        narrow = (np.round(np.clip(narrow, -1, 32767 / 32768) * 32768) / 32768).astype(np.float32)
        net, stages = self.fresh(), self.rate // (m.BITS * m.FPS)
        start = time.process_time()
        self.packets = [m.pack(net.quantize(net.features(hop), stages)) for hop in narrow.reshape(-1, m.HOP)]
        cpu = time.process_time() - start
        target = folder / "out.lyra"
        target.write_bytes(b"".join(self.packets))
        return Coded(target, target.stat().st_size, target.stat().st_size, cpu)

    def decode(self, coded, loss):
        m, stages = self.module, self.rate // (self.module.BITS * self.module.FPS)
        lost = np.zeros(len(self.packets), bool) if loss is None else loss.pattern(len(self.packets))
        net, out = self.fresh(), []
        start = time.process_time()
        for packet, gone in zip(self.packets, lost):
            features = np.zeros(m.DIM, np.float32) if gone else net.dequantize(m.unpack(packet, stages))
            out.append(net.synth(features))
        cpu = time.process_time() - start
        return resample_poly(np.concatenate(out), 3, 2).astype(np.float32), cpu


@lru_cache
def lyra(folder):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("lyra_roundtrip", folder / "lyra_roundtrip.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise Missing(f"Python package {error.name} is not installed (pip install -r models/requirements-eval.txt)") from None
    return module
