"""Fit the levels of a bundle's decoder to the powers that recordings have in its bands: the head of the noise's levels, and
one gain a band for what is not noise. All else stands still, and the graph stays the same.

Nothing is synthesised: the power that a frame's MDCT coefficients will have is known without drawing the noise, so a step costs
a tenth of one of train_decoder.py, and no judge of sound is in the loss.

  python models/train_levels.py --out .siskin/runs/levels

The same command resumes; `models/export.py --decoder CHECKPOINT` puts what was learnt into a bundle.
"""
import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from siskin_models.arch import band_centres, mdct, zero_states
from siskin_models.codec import load_bundle
from siskin_models.data import Bank, Corpus
from siskin_models.frameloss import lose_frames
from siskin_models.losses import unit_level
from siskin_models.stages import draw_stages, sum_stages
from siskin_models.trainer import Training

KNOWN = (100.0, 2800.0)  # Hz between which gains are learnt
FLOOR = 1e-6  # of the mean power of a crop: 60 dB below it a band ends to matter


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bundle", type=Path, default=Path("models/bundles/speech-24k"), help="whose codes are decoded")
    p.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    p.add_argument("--bank", type=Path, default=Path(".siskin/bank"), help="crops and codes, made when missing")
    p.add_argument("--crops", type=int, default=6000, help="crops of the bank")
    p.add_argument("--frames", type=int, default=80, help="code frames a crop")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--steps", type=int, default=600, help="budget of the whole run, over all resumptions")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--rate", type=float, default=3e-4, help="of the head; the gains learn ten times as fast")
    p.add_argument("--above", type=float, default=2100.0, metavar="HZ", help="noise below is left as it is: what is missing there "
                   "is the voice, and its gains make up for it")
    p.add_argument("--sum", type=float, default=1.0, help="weight of the power of whole crops against that of frames")
    p.add_argument("--mixed", type=float, default=0.5, help="share of crops whose frames hold unlike numbers of stages, as with "
                   "an average rate")
    p.add_argument("--lossy", type=float, default=0.1, help="share of crops that lose frames before the decoder")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--log-every", type=int, default=50, help="steps a row of loss.csv")
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


class Powers:
    """Powers of the bands of each frame, [B, T, bands]: of recordings, and of what a decoder will give."""

    def __init__(self, decoder):
        self.decoder, c = decoder, decoder.c
        tiles = decoder.spread.t()
        self.pool = tiles / tiles.sum(1, keepdim=True)
        # What each sample of a window adds to the mean power of its coefficients.
        self.window = decoder.basis.pow(2).sum(0) / c.block

    def recorded(self, pcm):
        tail = torch.zeros(len(pcm), 1, self.decoder.c.overlap)
        return F.linear(mdct(pcm, tail, self.decoder.basis, self.decoder.c.block)[0].pow(2), self.pool)

    @torch.no_grad()
    def fixed(self, latents):
        """What stands still: features, the power of the part without noise, and that of the noise before its levels [B, T, 1]."""
        d, states = self.decoder, zero_states(self.decoder, len(latents))
        x, _ = d.trunk(latents, states[1:])
        gain = torch.exp((d.gain(x) - d.gain.bias).clamp(max=3.0))
        # The bias is learnt: shapes without it, so that a band's gain multiplies its power.
        plain = (d.shapes(x, latents) * F.linear(gain, d.spread)).pow(2)
        envelope = F.linear(torch.exp(d.envelope(x).clamp(max=3.0)), d.lines).flatten(1)
        spans = F.pad(envelope, (d.c.overlap, 0)).unfold(-1, d.c.block + d.c.overlap, d.c.block)
        return x, plain, 0.5 * (spans.pow(2) @ self.window)[..., None]

    def given(self, x, plain, white):
        d = self.decoder
        noise = white * F.linear(torch.exp(d.level(x).clamp(max=3.0)), d.spread).pow(2)
        return F.linear(plain * F.linear(torch.exp(d.gain.bias), d.spread).pow(2) + noise, self.pool)


class Trainer(Training):
    LOGGED = ("near", "sum", "error_db", "bias_db")
    AVERAGE = 0.998
    CLIP = 1.0

    def __init__(self, args):
        super().__init__(args)
        self.codec = load_bundle(args.bundle).requires_grad_(False)
        self.decoder, rate = self.codec.decoder, self.codec.config.sample_rate
        head, gains = list(self.decoder.level.parameters()), [self.decoder.gain.bias]
        for p in head + gains:
            p.requires_grad_(True)
        opt = torch.optim.Adam([{"params": head, "pace": 1.0}, {"params": gains, "pace": 10.0}], args.rate, betas=(0.9, 0.98))
        centres = band_centres(self.codec.config)
        self.noisy = (centres >= args.above).float()
        # Elsewhere the waveform holds next to nothing of speech, and only tones would become louder than they went in: by 5 dB
        # at 3 kHz and by 4.6 at 60 Hz with one stage (codec-core/tests/levels.rs allows 3).
        self.known = ((centres >= KNOWN[0]) & (centres <= KNOWN[1])).float()
        self.bank = Bank(args.bank, args.crops, args.frames, self.codec, Corpus(args.corpus, rate=rate), args.seed)
        self.powers, self.books = Powers(self.decoder), self.codec.quantizer.books
        self.begin(self.codec.config, self.decoder, opt)

    def extra(self):
        return {"losses": {"powers of frames": 1.0, "powers of crops": self.args.sum}}

    def losses(self, pcm, latents):
        """Logarithms frame by frame, which make the most likely level; sums of crops (the likelihood of a Poisson process), which
        make the loud frames as loud as they are: a median lies below the mean, by 3 dB where the error is 5."""
        scale = unit_level(pcm).pow(2)[..., None]
        wanted = self.powers.recorded(pcm) * scale + FLOOR
        fixed = self.powers.fixed(latents)
        got = self.powers.given(*fixed) * scale + FLOOR
        ratio = (got / wanted).log()
        mean = wanted.mean(1, keepdim=True)
        # Less what a perfect estimate has, so that it says how far there is to go.
        poisson = ((got - wanted - wanted * ratio) / mean).mean()
        tell = 10 / math.log(10)
        heard = wanted > 1e-4
        return {"near": ratio.abs().mean(), "sum": poisson, "error_db": tell * ratio[heard].abs().mean(),
                "bias_db": tell * (got.mean(1) / mean[:, 0]).log().mean()}

    def train_step(self, share):
        self.set_rate(share, warm_up=100)
        pcm, codes = self.bank.batch(self.rng, self.args.batch)
        stages = draw_stages(self.rng, pcm.numpy(), codes.shape[1], self.books.shape[0], self.args.mixed)
        latents = lose_frames(sum_stages(codes, self.books, stages), self.rng, self.args.lossy)
        losses = self.losses(pcm, latents)
        self.opt.zero_grad(set_to_none=True)
        (losses["near"] + self.args.sum * losses["sum"]).backward()
        self.decoder.level.weight.grad *= self.noisy[:, None]
        self.decoder.level.bias.grad *= self.noisy
        self.decoder.gain.bias.grad *= self.known
        self.descend()
        return losses


if __name__ == "__main__":
    Trainer(arguments()).run()
