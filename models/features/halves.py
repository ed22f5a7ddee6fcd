"""Both halves of a bundle as they are shipped."""
import numpy as np
from corpus import pack
from export import session
from safetensors.numpy import load_file
from train import unpack


class Halves:
    """Pictures to latents, and to what is left of them at a level."""

    def __init__(self, bundle):
        self.device = session(bundle / "device.onnx")
        self.gains = load_file(bundle / "tables.safetensors")["gains"]

    def latents(self, picture):
        """Latents f32 [32, h / 16, w / 16] before they are rounded."""
        return self.device.run(None, {"frame": unpack(pack(picture))[None].astype(np.float32)})[0][0]

    def rounded(self, latents, level):
        gain = self.gains[level][:, None, None]
        return (np.rint(latents * gain) / gain).astype(np.float32)
