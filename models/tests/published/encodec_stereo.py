"""EnCodec at 48 kHz in stereo, by the authors' package and by transformers."""

import numpy as np
import torch

from . import Published, noise, spread_codebooks

RATE, SEGMENT, STRIDE = 48_000, 48_000, 47_520


def stereo(samples):
    """Two channels that have something in common and something of their own, [1, 2, samples]."""
    both, own = noise(RATE, samples), noise(RATE, samples, seed=2)
    return torch.tensor(np.stack([both, 0.6 * both + 0.4 * own]))[None]


def randomize_norms(model):
    """Factors and terms that are not those of a new layer, which would hide one that is left out."""
    for name, value in model.named_parameters():
        if ".norm." in name:
            value.data.add_(0.2 * torch.randn_like(value))


def interleaved(pcm):
    return pcm[0].T.reshape(-1).numpy()


def of_authors(folder, samples=2 * STRIDE + 1000, stages=8):
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_48khz(pretrained=False).eval()
    randomize_norms(model)
    pcm = stereo(samples)
    layers = model.quantizer.vq.layers
    first = pcm[:, :, :SEGMENT]
    scale = first.mean(1).pow(2).mean().sqrt() + 1e-8
    spread_codebooks([layer._codebook.embed for layer in layers], model.encoder(first / scale)[0].T)
    for layer in layers:
        layer._codebook.inited.fill_(1)
    path = folder / "encodec_48khz.th"
    torch.save(model.state_dict(), path)
    model.set_target_bandwidth(1.5 * stages)
    frames = model.encode(pcm)
    codes = torch.cat([codes[0] for codes, _ in frames], 1).numpy()
    scales = np.array([scale.item() for _, scale in frames], np.float32)
    decoded = interleaved(model.decode(frames)[:, :, :samples])
    return Published("encodec", path, interleaved(pcm), codes, decoded, scales=scales)


def of_authors_short(folder):
    """Two segments that end together: of 149 frames and of one, which is shorter than its layers' padding."""
    return of_authors(folder, STRIDE + 100, stages=2)


def of_transformers(folder):
    from transformers import EncodecConfig, EncodecModel

    # As transformers' own conversion of the published checkpoint sets it.
    config = EncodecConfig(
        upsampling_ratios=[8, 5, 4, 2],
        target_bandwidths=[3.0, 6.0, 12.0, 24.0],
        sampling_rate=RATE,
        audio_channels=2,
        use_causal_conv=False,
        norm_type="time_group_norm",
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
    )
    model = EncodecModel(config).eval()
    randomize_norms(model)
    # It fills the last segment with silence, which then has other codes than the authors' shorter one: two are compared.
    samples = STRIDE + SEGMENT
    pcm = stereo(samples)
    first = pcm[:, :, :SEGMENT]
    scale = first.mean(1).pow(2).mean().sqrt() + 1e-8
    spread_codebooks([layer.codebook.embed for layer in model.quantizer.layers], model.encoder(first / scale)[0].T)
    model.save_pretrained(folder)
    frames = model.encode(pcm, bandwidth=12.0)
    decoded = model.decode(frames.audio_codes, frames.audio_scales)[0][:, :, : 2 * STRIDE]
    codes = torch.cat([codes[0] for codes in frames.audio_codes[:2]], 1).numpy()
    scales = np.array([scale.item() for scale in frames.audio_scales[:2]], np.float32)
    path = folder / "model.safetensors"
    return Published("encodec", path, interleaved(pcm), codes, interleaved(decoded), scales=scales)


LAYOUTS = {"authors": of_authors, "authors-short": of_authors_short, "transformers": of_transformers}
