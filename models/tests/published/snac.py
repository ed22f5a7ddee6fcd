"""SNAC at 24 and 32 kHz, by the authors' package."""

import json

import numpy as np
import torch

from . import Published, as_batch, noise
from .dac import centre_projections, vary

SHARED = dict(codebook_size=4096, codebook_dim=8, noise=True, depthwise=True)
SIZES = {
    "24k": dict(sampling_rate=24_000, encoder_dim=48, encoder_rates=[2, 4, 8, 8], decoder_dim=1024,
                decoder_rates=[8, 8, 4, 2], attn_window_size=None, vq_strides=[4, 2, 1]),
    "32k": dict(sampling_rate=32_000, encoder_dim=64, encoder_rates=[2, 3, 8, 8], decoder_dim=1536,
                decoder_rates=[8, 8, 3, 2], attn_window_size=32, vq_strides=[8, 4, 2, 1]),
}  # fmt: skip
MASK = (1 << 64) - 1


def noise_table(seed, count):
    """The noise of imported bundles: SplitMix64, then Box and Muller. The package draws its own anew in each run."""
    def uniform():
        nonlocal seed
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) / (1 << 53)

    pairs = []
    for _ in range((count + 1) // 2):
        radius, angle = np.sqrt(-2 * np.log(1 - uniform())), 2 * np.pi * uniform()
        pairs += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.array(pairs[:count], np.float32)


def repeat_noise(model, steps):
    """Puts the noise of imported bundles, which repeats after 32 frames, in the place of the package's."""
    from snac.layers import DecoderBlock

    blocks = [block for block in model.decoder.model if isinstance(block, DecoderBlock)]
    for number, (block, rate) in enumerate(zip(blocks, np.cumprod([b.block[1].stride[0] for b in blocks]))):
        table = torch.tensor(noise_table(number, 32 * steps * int(rate)))
        layer = block.block[2]

        def forward(x, layer=layer, table=table):
            repeated = table.repeat(x.shape[-1] // len(table) + 1)[: x.shape[-1]]
            return x + repeated * layer.linear(x)

        layer.forward = forward


def of_authors(size):
    keywords = {**SIZES[size], **SHARED}

    def make(folder):
        import snac

        model = snac.SNAC(**keywords).eval()
        # Latents of a frame: those that the coarsest code, or a window of attention, stands for.
        steps = keywords["attn_window_size"] or keywords["vq_strides"][0]
        frames = 4 if keywords["attn_window_size"] else 36
        repeat_noise(model, steps)
        vary(model)
        pcm = noise(keywords["sampling_rate"], frames * steps * int(model.hop_length))
        centre_projections(model.quantizer.quantizers, model.encoder(as_batch(pcm)))
        path = folder / "pytorch_model.bin"
        torch.save(model.state_dict(), path)
        (folder / "config.json").write_text(json.dumps(keywords))
        codes = model.encode(as_batch(pcm))
        by_frame = np.concatenate([c[0].numpy().reshape(frames, -1) for c in codes], 1).T
        return Published("snac", path, pcm, by_frame, model.decode(codes)[0, 0].numpy())

    return make


LAYOUTS = {size: of_authors(size) for size in SIZES}
