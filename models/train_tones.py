"""Teach the decoder of a bundle steady tones, with the codes as they are: speech stays what the bundle makes of it.

To losses of companded bins a tone that is not quite clean costs more than silence (`siskin_models.losses.Convergence`), so decoders
trained with them play tones far too softly. Here half of a batch is tones and glides under a loss that misses them, and half is
speech, or for a bundle in stereo music and sounds, on which the decoder is held to the samples of the one that it comes from, as it
is for tones of few stages.

  python models/train_tones.py --out .siskin/runs/tones
  python models/train_tones.py --out .siskin/runs/tones-48k --bundle models/bundles/audio-48k --bank .siskin/bank-48k --frames 32

The same command resumes; `models/export.py --decoder CHECKPOINT` puts what was learnt into a bundle.
"""
import argparse
import copy
from pathlib import Path

import numpy as np
import torch

from siskin_models.arch import zero_states
from siskin_models.codec import load_bundle
from siskin_models.data import Bank, Corpus, glides, tones
from siskin_models.general import GeneralCorpus, placed
from siskin_models.losses import Convergence, ShapeLoss
from siskin_models.stages import draw_stages, sum_stages
from siskin_models.stereo import turn
from siskin_models.trainer import Training

# By channels: the codec in stereo has twice the rate and windows of twice the length.
WINDOWS = {1: ((512, 48), (2048, 80), (1024, 80)), 2: ((1024, 48), (4096, 80), (2048, 80))}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bundle", type=Path, default=Path("models/bundles/speech-24k"), help="whose codes are decoded")
    p.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    p.add_argument("--general", type=Path, default=Path(".siskin/general"), help="music and sounds, for a bundle in stereo")
    p.add_argument("--bank", type=Path, default=Path(".siskin/bank-tones"), help="crops and codes, made when missing")
    p.add_argument("--crops", type=int, default=8000, help="crops of each of the two kinds")
    p.add_argument("--frames", type=int, default=40, help="code frames a crop")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--steps", type=int, default=8000, help="budget of the whole run, over all resumptions")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--rate", type=float, default=7e-4)
    p.add_argument("--keep", type=float, default=20.0, help="weight of the distance from what the bundle makes of speech")
    p.add_argument("--shape", type=float, default=1.0, help="weight of the waveform of tones, which is known up to 1.5 kHz")
    p.add_argument("--louder", type=float, default=1.0, help="weight of what tones are louder than they were")
    p.add_argument("--held", type=int, default=2, help="up to so many stages tones too are held to what the bundle makes of them")
    p.add_argument("--few", type=int, default=4, help="crops of tones of so few stages, beside the batch")
    p.add_argument("--keep-few", type=float, default=7.0, help="weight of their distance from what the bundle makes of them")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=False, help="networks in bfloat16")
    p.add_argument("--log-every", type=int, default=50, help="steps a row of loss.csv")
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


class Tones:
    """Crops as `Corpus.batch` gives them: steady tones, pairs, chords and glides, a third of them keyed on and off."""

    def __init__(self, rate, channels):
        self.rate, self.channels = rate, channels

    def batch(self, rng, size, length, wide=True):
        out = np.zeros((size, length), np.float32)
        for i in range(size):
            if rng.random() < 0.06:
                # A constant, of which nothing is to come back.
                out[i] = rng.choice((-1, 1)) * 10 ** (rng.uniform(-40, 0) / 20)
                continue
            kind = rng.random()
            if kind < 0.2:
                # One low tone, which few codes hold and which came back too loud from one stage.
                x = np.sin(2 * np.pi * (rng.uniform(60, 500) * np.arange(length) / self.rate + rng.random()))
            else:
                x = (tones if kind < 0.75 else glides)(rng, length, self.rate)
            if rng.random() < 0.33:
                # On and off every 50 to 300 ms with slopes of 5 ms, as dialling and warning tones are.
                on = np.repeat(rng.integers(0, 2, 1 + length // 1200), int(rng.uniform(1200, 7200)))[:length]
                on = np.pad(on, (0, length - len(on)), mode="edge")
                x = x * np.convolve(on, np.ones(120) / 120, mode="same")
            if rng.random() < 0.3:
                x = x + rng.standard_normal(length) * np.abs(x).max() * 10 ** (-rng.uniform(30, 60) / 20)
            out[i] = x * (10 ** (rng.uniform(-60, 0) / 20) / (np.abs(x).max() + 1e-6))
        if self.channels == 2:
            out = np.stack([placed(rng, x) for x in out])
        return torch.from_numpy(out)


class General(GeneralCorpus):
    """Music and sounds, without tones."""

    def batch(self, rng, size, length, wide=True):
        return super().batch(rng, size, length, tonal=0.0)


def louder(wanted, got):
    """How much louder crops came back than they were, on average, as a logarithm."""
    power, own = (x.square().flatten(1).mean(1) + 1e-7 for x in (wanted, got))
    return (own / power).log().clamp(min=0).mean()


def level_of(pcm):
    """Gain that brings all channels of crops together to a mean square of one: a side that is hardly there counts as that."""
    return 1 / (pcm.square().flatten(1).mean(1, keepdim=True).sqrt() + 1e-3)


class Trainer(Training):
    LOGGED = ("keep", "tones", "shape", "louder", "few", "held", "norm")
    AVERAGE = 0.99
    # Weight of what held tones are louder than the bundle makes them.
    HELD = 10.0

    def __init__(self, args):
        super().__init__(args)
        self.codec = load_bundle(args.bundle).requires_grad_(False)
        rate, self.channels = self.codec.config.sample_rate, self.codec.config.channels
        self.decoder = self.codec.decoder.train()
        self.first = copy.deepcopy(self.decoder)
        self.decoder.requires_grad_(True)
        # Up to half of the rate: what speech and tones shall have there is known.
        self.kept, self.convergence = (loss(rate, WINDOWS[self.channels], knee=20e3) for loss in (ShapeLoss, Convergence))
        self.shape = ShapeLoss(rate, WINDOWS[self.channels])
        own = Corpus(args.corpus, rate=rate) if self.channels == 1 else General(args.general, args.corpus, rate)
        corpora = {"speech": own, "tones": Tones(rate, self.channels)}
        self.banks = {kind: Bank(args.bank / kind, args.crops, args.frames, self.codec, corpus, args.seed)
                      for kind, corpus in corpora.items()}
        self.books = self.codec.quantizer.books
        opt = torch.optim.AdamW(self.decoder.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.begin(self.codec.config, self.decoder, opt)

    def extra(self):
        return {"losses": {"keep": self.args.keep, "tones": 1.0, "shape": self.args.shape,
                           "louder": self.args.louder, "few": self.args.keep_few, "held": self.HELD}}

    def drawn(self, kind, size, few=False):
        """Crops and what their codes say of them."""
        pcm, codes = self.banks[kind].batch(self.rng, size)
        # By the louder of both channels where there are two.
        heard = pcm.abs().amax(1) if self.channels == 2 else pcm
        stages = draw_stages(self.rng, heard.numpy(), codes.shape[1], len(self.books), 0.3)
        if few:
            stages[:] = self.rng.integers(1, self.args.held + 1, (size, 1))
        elif kind == "tones":
            stages[stages.max(1) <= self.args.held] = self.args.held + 1
        return pcm, sum_stages(codes, self.books, stages)

    def heard(self, *signals):
        """Signals as they are; of two channels, [B, 2, samples], as they are heard from directions between left and right."""
        if self.channels == 1:
            return signals
        angle = torch.from_numpy(self.rng.uniform(0, np.pi, len(signals[0])).astype(np.float32))
        way = torch.stack([angle.cos(), angle.sin()], -1)
        return [torch.einsum("bcn,bc->bn", turn(x, 1), way) for x in signals]

    def train_step(self, share):
        args, half, delay = self.args, self.args.batch // 2, self.codec.config.overlap
        self.set_rate(share, 50)
        (_, speech), (pcm, sung) = self.drawn("speech", half), self.drawn("tones", args.batch - half)
        # One stage does not say which tone it was: taught with the others, tones of 200 Hz came back 4 dB too loud from it and of
        # 3 kHz 5 to 9 dB (codec-core/tests/levels.rs allows 3). What so few stages give stays as it was, by a loss of its own:
        # as a part of the speech's it took from that (speaker similarity -.002 to -.004, PESQ -.02).
        held = torch.cat([speech, self.drawn("tones", args.few, few=True)[1]])
        latents = torch.cat([held, sung])
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            y = self.decoder(latents, zero_states(self.decoder, len(latents)))[0].float()
            with torch.no_grad():
                before = self.first(held, zero_states(self.first, len(held)))[0].float()
        wanted, got = (pcm - pcm.mean(-1, keepdim=True))[..., :-delay], y[len(held):, ..., delay:]
        # Nor may these tones be louder than they were: 3 kHz from one stage came to 5 dB above what was given. Of speech that would
        # cost .08 dB of its level and .002 of speaker similarity.
        losses = {"louder": louder(wanted, got), "held": louder(before[half:, ..., delay:], y[half:len(held), ..., delay:])}
        level, own = level_of(wanted), level_of(before)
        (wanted, got), (before, y) = self.heard(wanted, got), self.heard(before, y[:len(held)])
        losses |= {"keep": self.kept(before[:half], y[:half], own[:half]), "tones": self.convergence(wanted, got, level),
                   "shape": self.shape(wanted, got, level), "few": self.kept(before[half:], y[half:], own[half:])}
        weights = {"keep": args.keep, "tones": 1.0, "shape": args.shape, "louder": args.louder,
                   "few": args.keep_few, "held": self.HELD}
        self.opt.zero_grad(set_to_none=True)
        sum(weights[k] * v for k, v in losses.items()).backward()
        return losses | {"norm": self.descend()}


if __name__ == "__main__":
    Trainer(arguments()).run()
