"""Makes the latents of a trained codec wider so that it still says what it said.

The covariance of the 64 latents of bundle 0.2.2 has axes from 2.3 down to .33 (two lie higher), and six stages leave .09 of
each, nine stages .034: every axis that there is is far above what the quantizer leaves, so the width is the limit and not the
bits. New latents begin with what the encoder's features hold beyond the old ones.
"""
import torch

from .arch import zero_states


@torch.no_grad()
def features(encoder, pcm):
    """What the last layer of the encoder sees, [N, width]."""
    found = []
    hook = encoder.out.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].flatten(0, 1)))
    encoder(pcm, zero_states(encoder, len(pcm), pcm.device))
    hook.remove()
    return torch.cat(found)


@torch.no_grad()
def widen_latents(codec, old, pcm, share=0.3):
    """`codec` has the weights of its first `old` latents in place; the others become the strongest axes of its features that
    these do not explain, each with a `share` of their mean variance. pcm [B, samples] is speech to find them with."""
    out, inp = codec.encoder.out, codec.decoder.inp
    more = out.out_features - old
    x = features(codec.encoder, pcm).double()
    mean = x.mean(0)
    x = x - mean
    known = x @ out.weight[:old].double().t()
    explained = torch.linalg.lstsq(known, x).solution          # [old, width]
    rest = torch.eye(x.shape[1], dtype=x.dtype) - out.weight[:old].double().t() @ explained
    values, axes = torch.linalg.eigh(torch.cov((x @ rest).t()))
    strongest = axes[:, -more:] * (share * known.var(0).mean() / values[-more:].clamp(min=1e-9)).sqrt()
    rows = (rest @ strongest).t()
    out.weight[old:] = rows.float()
    out.bias[old:] = (-rows @ mean).float()
    # Latents have a fixed length, of which the new ones take a part.
    inp.weight[:, :old] /= ((old + more) / (old + share * more)) ** 0.5
    inp.weight[:, old:] = 0
