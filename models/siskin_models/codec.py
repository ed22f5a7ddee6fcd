"""The whole codec as one module for training and for the offline reference."""
import torch
import torch.nn as nn

from .arch import Config, Decoder, Encoder, zero_states
from .quantizer import ResidualQuantizer


class Codec(nn.Module):
    def __init__(self, config: Config, stages=18, size=1024):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantizer = ResidualQuantizer(config.latent, stages, size)

    def encode(self, pcm):
        """pcm [B, samples] (a multiple of hop) -> latents [B, T, D]."""
        return self.encoder(pcm, zero_states(self.encoder, len(pcm), pcm.device))[0]

    def decode(self, latents):
        """latents [B, T, D] -> pcm [B, T * hop], late by `overlap` samples."""
        return self.decoder(latents, zero_states(self.decoder, len(latents), latents.device))[0]

    def parameters_by_part(self):
        count = {n: sum(p.numel() for p in m.parameters()) for n, m in self.named_children()}
        count["codebooks"] = self.quantizer.books.numel()
        return count


def load(path, device="cpu"):
    """A codec from a checkpoint of `train.py`: moving-average weights, codebooks as the bundle rounds them."""
    saved = torch.load(path, map_location=device, weights_only=True)
    codec = Codec(Config(**saved["config"]), saved["stages"], saved["size"]).to(device)
    state = {k: v.float() for k, v in saved["average"].items()}
    codec.load_state_dict(state, strict=False)
    codec.quantizer.books.copy_(saved["books"].float().half().float())
    return codec.eval(), saved
