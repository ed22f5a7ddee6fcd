"""Makes the latents of a trained codec wider so that it still says what it said.

The covariance of the 64 latents of bundle 0.2.2 has axes from 2.3 down to .33 (two lie higher), and six stages leave .09 of
each, nine stages .034: every axis that there is is far above what the quantizer leaves, so the width is the limit and not the
bits. They hold the waveform up to 1.5 kHz, which is 60 coefficients a frame; of what lies above, a linear estimate from the
192 features of the encoder's trunk explains 14 % up to 2 kHz and 8 % up to 2.5. So new latents come past the trunk.
"""
import torch

from .arch import mdct, zero_states

FIRST = 1500.0  # Hz: where the old latents end


@torch.no_grad()
def widen_latents(codec, old, pcm, share=0.15):
    """`codec` has the weights of its first `old` latents in place, and `skip`. Each of the others begins as one coefficient from
    `FIRST` on, with a `share` of the mean variance of the old ones, and the decoder with its best linear estimate from it. With
    .15 six stages, which leave .09, code them hardly, and nine do. pcm [B, samples] is speech to fit the estimates to."""
    c, encoder, decoder = codec.config, codec.encoder, codec.decoder
    if not c.skip:
        raise ValueError("skip 0, wanted 1: new latents come past the trunks")
    more = c.latent - old
    first = round(2 * FIRST * c.coefs / c.sample_rate)
    places, new = torch.arange(first, first + more), torch.arange(old, c.latent)
    encoder.out.weight[old:], encoder.out.bias[old:] = 0, 0
    tail = torch.zeros(len(pcm), 1, c.overlap)
    coefs = mdct(pcm, tail, encoder.basis, c.block)[0]
    # As long as `skip` is nothing, the old latents alone have the fixed length.
    encoder.skip.weight[new] = 0
    variance = codec.encode(pcm)[..., :old].flatten(0, 1).var(0).mean()
    encoder.skip.weight[new, places] = (share * variance).sqrt() / encoder.even(coefs)[..., places].flatten(0, 1).std(0)
    decoder.inp.weight[:, :old] /= (c.latent / (old + share * more)) ** 0.5
    decoder.inp.weight[:, old:] = 0
    latents = codec.encode(pcm)
    x, _ = decoder.trunk(latents, zero_states(decoder, len(pcm))[1:])
    gain = torch.nn.functional.linear(torch.exp(decoder.gain(x).clamp(max=3.0)), decoder.spread)[..., places]
    # What the trunk gives there and the new latent, each as far as it helps.
    given = torch.stack([gain * decoder.shape(x)[..., places], gain * latents[..., old:]], -1).flatten(0, 1).transpose(0, 1)
    wanted = coefs[..., places].flatten(0, 1).t()[..., None]
    weights = torch.linalg.lstsq(given.double(), wanted.double()).solution[..., 0].float()
    decoder.shape.weight[places] *= weights[:, :1]
    decoder.skip.weight[places, new] = weights[:, 1]
