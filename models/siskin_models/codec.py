"""The whole codec as one module for training and for the offline reference."""
import json
from dataclasses import replace
from pathlib import Path

import onnx
import torch
import torch.nn as nn
from safetensors.numpy import load_file

from .arch import Config, Decoder, Encoder, zero_states
from .export import graph_weights
from .quantizer import GroupResidualQuantizer, balanced_rotation
from .stereo import StereoConfig, StereoDecoder, StereoEncoder
from .trainer import NEW

# Weights whose shapes follow from the width of the latents.
LATENT = ("encoder.out.weight", "encoder.out.bias", "encoder.skip.weight", "decoder.inp.weight", "decoder.skip.weight")


class Codec(nn.Module):
    def __init__(self, config: Config, groups=1, stages=18, size=1024):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantizer = GroupResidualQuantizer(config.latent, groups, stages, size)

    def encode(self, pcm):
        """pcm [B, samples] (a multiple of hop) -> latents [B, T, D]."""
        return self.encoder(pcm, zero_states(self.encoder, len(pcm), pcm.device))[0]

    def decode(self, latents):
        """latents [B, T, D] -> pcm [B, T * hop], late by `overlap` samples."""
        return self.decoder(latents, zero_states(self.decoder, len(latents), latents.device))[0]

    def fit_quantizer(self, latents):
        """Codebooks by k-means on [N, D] latents; several groups get uncorrelated parts of them first."""
        if len(self.quantizer.groups) > 1:
            rotation = balanced_rotation(latents, len(self.quantizer.groups))
            self.encoder.rotate(rotation)
            self.decoder.rotate(rotation)
            latents = latents @ rotation.T
        self.quantizer.fit(latents)

    def parameters_by_part(self):
        count = {n: sum(p.numel() for p in m.parameters()) for n, m in self.named_children()}
        count["codebooks"] = self.quantizer.books.numel()
        return count


class StereoCodec(Codec):
    """The codec of general sound: pcm [B, 2, samples]."""

    def __init__(self, config: StereoConfig, groups=4, stages=16, size=1024):
        nn.Module.__init__(self)
        self.config = config
        self.encoder, self.decoder = StereoEncoder(config), StereoDecoder(config)
        self.quantizer = GroupResidualQuantizer(config.latent, groups, stages, size)
        for group in self.quantizer.groups:
            group.lean = True


def of_architecture(fields):
    """The class of a codec and its configuration, from the fields of that."""
    return (StereoCodec, StereoConfig(**fields)) if "mid" in fields else (Codec, Config(**fields))


def load(path, device="cpu"):
    """A codec from a checkpoint of `train.py`, whole or shrunk: moving-average weights, codebooks as the bundle rounds them."""
    saved = torch.load(path, map_location=device, weights_only=NEW)
    kind, config = of_architecture(saved["config"])
    codec = kind(config, *saved["books"].shape[1::-1], saved["size"]).to(device)
    state = {k: v.float() for k, v in saved["average"].items()}
    codec.load_state_dict(state, strict=False)
    books = saved["books"].float() * saved.get("book_scale", 1.0)
    codec.quantizer.set_books(books.half().float())
    return codec.eval(), saved


def load_bundle(folder, groups=None, stages=None, **fields):
    """A codec with the weights of an exported bundle, ready to be trained further; with other `fields` of `Config` `grown`.
    Other groups or stages than its own leave the codebooks empty."""
    folder = Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    books = torch.from_numpy(load_file(folder / manifest["quantizer"]["file"])["codebooks"]).float()
    shape = (stages or books.shape[0], groups or books.shape[1])
    kind, config = of_architecture(manifest["training"]["architecture"])
    codec = kind(config, shape[1], shape[0], books.shape[2])
    for part in ("encoder", "decoder"):
        weights = graph_weights(onnx.load(folder / manifest[part]["file"]))
        for name, parameter in getattr(codec, part).named_parameters():
            parameter.data.copy_(torch.from_numpy(weights[name]))
    if shape == books.shape[:2]:
        codec.quantizer.set_books(books)
    return grown(codec, **fields) if fields else codec


def grown(codec, **fields):
    """The same codec with other `fields` of `Config`: blocks that it lacks begin as identities. Wider latents leave the codebooks
    empty and what fills them to `growth.widen_latents`."""
    stages, groups = codec.quantizer.books.shape[:2]
    new = Codec(replace(codec.config, **fields), groups, stages, codec.quantizer.size)
    known = dict(codec.named_parameters())
    for name, parameter in new.named_parameters():
        if name in known:
            old = known[name].data
            if old.shape != parameter.shape and name not in LATENT:
                raise ValueError(f"{name} is {tuple(old.shape)}, wanted {tuple(parameter.shape)}: only latents can be widened")
            parameter.data[tuple(slice(n) for n in old.shape)] = old
        elif name.endswith(".scale"):
            nn.init.zeros_(parameter)
    if new.config.latent == codec.config.latent:
        new.quantizer.set_books(codec.quantizer.books)
    return new
