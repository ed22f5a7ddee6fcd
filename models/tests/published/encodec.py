"""EnCodec at 24 kHz, by the authors' package and by transformers, and at 32 kHz (MusicGen) by transformers."""

import torch

from . import Published, as_batch, noise, spread_codebooks

HOP, FRAMES = 320, 60


def of_authors(folder, stages=8):
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    pcm = noise(24_000, FRAMES * HOP)
    layers = model.quantizer.vq.layers
    spread_codebooks([layer._codebook.embed for layer in layers], model.encoder(as_batch(pcm))[0].T)
    for layer in layers:
        layer._codebook.inited.fill_(1)
    path = folder / "encodec_24khz.th"
    torch.save(model.state_dict(), path)
    model.set_target_bandwidth(0.75 * stages)
    frames = model.encode(as_batch(pcm))
    return Published("encodec", path, pcm, frames[0][0][0].numpy(), model.decode(frames)[0, 0].numpy())


def of_transformers(folder):
    from transformers import EncodecConfig, EncodecModel

    model = EncodecModel(EncodecConfig()).eval()
    pcm = noise(24_000, FRAMES * HOP)
    spread_codebooks([layer.codebook.embed for layer in model.quantizer.layers], model.encoder(as_batch(pcm))[0].T)
    model.save_pretrained(folder)
    frames = model.encode(as_batch(pcm), bandwidth=6.0)
    decoded = model.decode(frames.audio_codes, frames.audio_scales)[0]
    return Published("encodec", folder / "model.safetensors", pcm, frames.audio_codes[0, 0].numpy(), decoded[0, 0].numpy())


def of_musicgen(folder):
    from transformers import EncodecConfig, EncodecModel

    # As transformers' own conversion of the published checkpoint sets it.
    config = EncodecConfig(
        upsampling_ratios=[8, 5, 4, 4],
        target_bandwidths=[2.2],
        sampling_rate=32_000,
        num_filters=64,
        codebook_size=2048,
        use_causal_conv=False,
        use_conv_shortcut=False,
        normalize=False,
    )
    model = EncodecModel(config).eval()
    pcm = noise(32_000, FRAMES * 640)
    spread_codebooks([layer.codebook.embed for layer in model.quantizer.layers], model.encoder(as_batch(pcm))[0].T)
    model.save_pretrained(folder)
    frames = model.encode(as_batch(pcm), bandwidth=2.2)
    decoded = model.decode(frames.audio_codes, frames.audio_scales)[0]
    codes = frames.audio_codes[0, 0].numpy()
    # The published layers mirror the end of the file, ours see silence after it.
    tail = (4, 8 * 640)
    return Published("encodec", folder / "model.safetensors", pcm, codes, decoded[0, 0].numpy(), tail=tail)


LAYOUTS = {"authors": of_authors, "transformers": of_transformers, "musicgen": of_musicgen}
