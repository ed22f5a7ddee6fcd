"""A bundle run by ONNX Runtime and NumPy: what its networks give, whatever the program does with them."""
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from .base import Codec, Coded, Missing, digest


class Reference(Codec):
    """`reference:6000` runs the bundle in hand, `reference:6000:bundle=FOLDER` another one; greedy search, codes at fixed
    width. With `codes=FOLDER` the codes are those of one bundle and the decoder that of the other: how a file coded with the
    first plays with the second."""

    takes_loss = False

    def __init__(self, places, rate, options):
        self.folder = Path(options.get("bundle") or places.bundle)
        self.coder = Path(options.get("codes") or self.folder)
        for folder in (self.folder, self.coder):
            if not (folder / "manifest.json").exists():
                raise Missing(f"{folder}/manifest.json is not there")
        try:
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise Missing(f"Python package {error.name} is not installed (pip install -r models/requirements-eval.txt)") from None
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        fitting = [p for p in self.manifest["prefixes"] if p["bitrate"] <= rate]
        if not fitting:
            raise Missing(f"the bundle has no rate of {rate} bit/s or below")
        self.rate, self.stages = rate, max(fitting, key=lambda p: p["bitrate"])["stages"]
        version = self.manifest["version"]
        self.family = f"networks of {version}"
        self.label = f"networks of {version} {rate / 1000:g}k"

    def fingerprint(self):
        files = [f / n for f in (self.folder, self.coder) for n in sorted(self.manifest["files"])]
        return f"{digest(*files)}-{self.stages}"

    def encode(self, pcm, folder):
        coder, decoder = load(self.coder), load(self.folder)
        self.length, delay = len(pcm), decoder.delay
        padded = np.pad(pcm, (0, delay + -(len(pcm) + delay) % coder.hop)).astype(np.float32)
        self.codes = coder.search(coder.latents(padded))
        bits = self.stages * coder.books.shape[1] * int(np.log2(coder.books.shape[2]))
        size = -(-len(self.codes) * bits // 8)
        return Coded(folder, size, size, 0.0)

    def decode(self, coded, loss):
        decoder = load(self.folder)
        # The codes mean what the coder's codebooks say.
        pcm = decoder.synthesise(load(self.coder).lookup(self.codes, self.stages))
        return pcm[decoder.delay: decoder.delay + self.length], 0.0


@lru_cache
def load(folder):
    from siskin_models.bundle import Bundle  # beside `siskin_eval`
    return Bundle(folder)
