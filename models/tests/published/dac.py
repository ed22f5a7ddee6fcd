"""DAC at 16, 24 and 44.1 kHz, by the authors' package and by transformers."""

import importlib.machinery
import importlib.util
import sys
import types

import torch

from . import Published, as_batch, noise

# Encoder's strides, codebooks, samples a second.
SIZES = {"16k": ([2, 4, 5, 8], 12, 16_000), "24k": ([2, 4, 5, 8], 32, 24_000), "44k": ([2, 4, 8, 8], 9, 44_100)}
FRAMES = 30


def authors_module():
    """The network's module alone: the package's own import wants audiotools, which wants a sound device's libraries."""
    name = "dac.model.dac"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.machinery.PathFinder.find_spec("dac")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("descript-audio-codec")

    def put(name, **members):
        module = types.ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
        return module

    layers = put("audiotools.ml", BaseModel=torch.nn.Module, STFTParams=None)
    put("audiotools", AudioSignal=object, STFTParams=None, ml=layers)
    folder = next(iter(found.submodule_search_locations))
    put("dac", __path__=[folder])
    put("dac.model", __path__=[f"{folder}/model"])
    put("dac.model.base", CodecMixin=type("CodecMixin", (), {"get_delay": lambda _: 0}))
    return importlib.import_module(name)


def vary(model):
    """Weights at which every layer counts."""
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            parameter.copy_(torch.rand_like(parameter) * 2 + 0.2)
        if name.endswith(("weight_g", "original0")):
            parameter.fill_(0.6)
        if name.endswith("bias"):
            parameter.copy_(torch.randn_like(parameter) * 0.05)


def centre_projections(quantizers, latents):
    """Biases at which the angles that the quantizers compare differ from frame to frame: random weights give latents that
    are far from zero and differ little."""
    residual = latents
    for quantizer in quantizers:
        quantizer.in_proj.bias -= quantizer.in_proj(residual).mean((0, 2))
        residual = residual - quantizer(residual)[0]


def of_authors(size):
    strides, stages, rate = SIZES[size]

    def make(folder):
        keywords = dict(
            encoder_rates=strides, decoder_rates=strides[::-1], n_codebooks=stages, sample_rate=rate, quantizer_dropout=0
        )
        model = authors_module().DAC(**keywords).eval()
        vary(model)
        pcm = noise(rate, FRAMES * int(model.hop_length))
        centre_projections(model.quantizer.quantizers, model.encoder(as_batch(pcm)))
        path = folder / f"weights_{size}.pth"
        torch.save({"state_dict": model.state_dict(), "metadata": {"kwargs": keywords}}, path)
        latents, codes, *_ = model.encode(as_batch(pcm))
        return Published("dac", path, pcm, codes[0].numpy(), model.decode(latents)[0, 0].numpy())

    return make


def of_transformers(size):
    strides, stages, rate = SIZES[size]

    def make(folder):
        from transformers import DacConfig, DacModel

        config = DacConfig(
            downsampling_ratios=strides,
            upsampling_ratios=strides[::-1],
            n_codebooks=stages,
            sampling_rate=rate,
            # What the published files have.
            encoder_hidden_size=64,
            decoder_hidden_size=1536,
        )
        model = DacModel(config).eval()
        vary(model)
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and "codebook" not in name:
                # Without weight normalization a layer's gain is that of its weights.
                parameter.copy_(torch.randn_like(parameter) * (0.6 / parameter[0].numel() ** 0.5))
        pcm = noise(rate, FRAMES * config.hop_length)
        centre_projections(model.quantizer.quantizers, model.encoder(as_batch(pcm)))
        model.save_pretrained(folder)
        found = model.encode(as_batch(pcm))
        decoded = model.decode(found.quantized_representation).audio_values
        return Published("dac", folder / "model.safetensors", pcm, found.audio_codes[0].numpy(), decoded.reshape(-1).numpy())

    return make


LAYOUTS = {f"{size}-authors": of_authors(size) for size in SIZES} | {
    f"{size}-transformers": of_transformers(size) for size in SIZES
}
