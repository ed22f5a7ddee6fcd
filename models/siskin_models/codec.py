"""The whole codec as one module for training and for the offline reference."""
import json
from dataclasses import asdict

import torch
import torch.nn as nn
from safetensors import safe_open
from safetensors.torch import save_file

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


def save_weights(path, codec):
    """All weights and codebooks as 16-bit floats in one safetensors file, the architecture in its metadata."""
    tensors = {k: v.detach().half().contiguous() for k, v in codec.named_parameters()}
    tensors["quantizer.books"] = codec.quantizer.books.half().contiguous()
    save_file(tensors, path, {"config": json.dumps(asdict(codec.config))})


def load_weights(path):
    """A codec from `save_weights`, ready to be trained further."""
    with safe_open(path, "pt") as file:
        config = Config(**json.loads(file.metadata()["config"]))
        tensors = {k: file.get_tensor(k).float() for k in file.keys()}
    stages, size, _ = tensors["quantizer.books"].shape
    codec = Codec(config, stages, size)
    codec.load_state_dict(tensors, strict=False)
    # As if every entry had been chosen once in an average batch.
    codec.quantizer.total.copy_(codec.quantizer.books)
    return codec
