"""Mimi, by moshi and by transformers."""

import torch

from . import Published, as_batch, noise, spread_codebooks

HOP, STAGES = 1920, 8


def vary(model):
    """Layer scales at which attention counts: they begin at 0.01."""
    for name, parameter in model.named_parameters():
        if "layer_scale" in name:
            parameter.fill_(0.5)


def fill_codebooks(quantizers, project, sums, usages):
    """Codebooks as sums and numbers of vectors; `project` gives a quantizer's input."""
    for quantizer in quantizers:
        latents = project(quantizer)
        books = [torch.zeros_like(s) for s in sums(quantizer)]
        spread_codebooks(books, latents)
        for s, n, book in zip(sums(quantizer), usages(quantizer), books):
            usage = torch.rand(len(n)) * 5 + 0.5
            n.copy_(usage)
            s.copy_(book * usage[:, None])


def of_transformers(folder, frames=24):
    from transformers import MimiConfig, MimiModel

    model = MimiModel(MimiConfig()).eval()
    vary(model)
    pcm = noise(24_000, frames * HOP)
    seen = {}

    def project(quantizer):
        hook = quantizer.input_proj.register_forward_hook(lambda _m, _i, out: seen.__setitem__("x", out[0].T))
        model.encode(as_batch(pcm), num_quantizers=STAGES)
        hook.remove()
        return seen["x"]

    q = model.quantizer
    fill_codebooks(
        [q.semantic_residual_vector_quantizer, q.acoustic_residual_vector_quantizer],
        project,
        lambda r: [layer.codebook.embed_sum for layer in r.layers],
        lambda r: [layer.codebook.cluster_usage for layer in r.layers],
    )
    for r in (q.semantic_residual_vector_quantizer, q.acoustic_residual_vector_quantizer):
        for layer in r.layers:
            layer.codebook._embed = None  # made from the sums again
    model.save_pretrained(folder)
    codes = model.encode(as_batch(pcm), num_quantizers=STAGES).audio_codes
    decoded = model.decode(codes).audio_values
    return Published("mimi", folder / "model.safetensors", pcm, codes[0].numpy(), decoded[0, 0].numpy())


def of_moshi(folder, rename=lambda name: name, frames=140):
    """140 frames are 280 steps of the transformers, more than the 250 that each of them sees."""
    from moshi.models.loaders import get_mimi
    from safetensors.torch import save_file

    model = get_mimi(None, num_codebooks=STAGES)
    vary(model)
    pcm = noise(24_000, frames * HOP)
    q = model.quantizer

    def project(quantizer):
        return quantizer.input_proj(model.encode_to_latent(as_batch(pcm), quantize=False))[0].T

    def books(quantizer):
        return [layer._codebook for layer in quantizer.vq.layers]

    fill_codebooks(
        [q.rvq_first, q.rvq_rest],
        project,
        lambda r: [book.embedding_sum for book in books(r)],
        lambda r: [book.cluster_usage for book in books(r)],
    )
    for r in (q.rvq_first, q.rvq_rest):
        for book in books(r):
            book._initialized.fill_(1)
            book._cached_initialized = True
            book._embedding = None  # made from the sums again
    path = folder / "tokenizer.safetensors"
    save_file({rename(name): tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    codes = model.encode(as_batch(pcm))
    return Published("mimi", path, pcm, codes[0].numpy(), model.decode(codes)[0, 0].numpy())


def of_moshi_2024(folder):
    """The names of the file that kyutai published first."""

    def rename(name):
        return name.replace(".in_projs.0.weight", ".in_proj_weight").replace(".out_projs.0.weight", ".out_proj.weight")

    return of_moshi(folder, rename, frames=24)


LAYOUTS = {"moshi": of_moshi, "moshi-2024": of_moshi_2024, "transformers": of_transformers}
