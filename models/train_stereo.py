"""Train the codec of general sound in stereo; the same command goes on where it stopped.

The phases are those of `train.py`. Losses see each crop from a direction between left and right that is drawn anew, so that
left, right, mid, side and all between count.

  python models/data/general.py && python models/train_stereo.py --out .siskin/runs/audio-48k --minutes 100
"""
import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from train import Trainer

from siskin_models.codec import StereoCodec, load_bundle
from siskin_models.general import GeneralCorpus
from siskin_models.losses import BandLevels, Convergence, EnergyDistance, ShapeLoss
from siskin_models.stereo import StereoConfig, turn
from siskin_models.trainer import Training

# Stages that most crops have: 6, 12 and 16 kb/s with four groups, and what a bundle of more stages has.
OFTEN = (3, 6, 6, 8, 12, 16)
WINDOWS = ((1024, 48), (4096, 80), (2048, 80))
# Long windows miss tones that are not there, short ones sound that comes before its attack.
MISSED = ((4096, 80), (256, 20), (1024, 48), (512, 40))
HEARD = ((512, 40), (4096, 128), (2048, 96), (1024, 64), (256, 20))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--corpus", type=Path, default=Path(".siskin/general"))
    p.add_argument("--speech", type=Path, default=Path(".siskin/corpus"), help="cache of fetch.py, for speech in films")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=100, help="time budget of the whole run, over all resumptions")
    p.add_argument("--steps", type=int, help="budget of the whole run in steps instead of minutes")
    p.add_argument("--continuous", type=float, default=0.08, help="share of the budget before quantisation")
    p.add_argument("--freeze", type=float, default=0.8, help="share of the budget after which the encoder stands still")
    p.add_argument("--groups", type=int, default=4)
    p.add_argument("--stages", type=int, default=16)
    p.add_argument("--size", type=int, default=1024)
    p.add_argument("--batch", type=int, default=24)
    p.add_argument("--frames", type=int, default=48, help="code frames a crop")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--shape", type=float, default=2.0, help="weight of the companded complex STFT against the energy distance")
    p.add_argument("--knee", type=float, default=5000.0, help="Hz above which spectral errors count less")
    p.add_argument("--distance", type=float, default=1.0)
    p.add_argument("--levels", type=float, default=0.2)
    p.add_argument("--convergence", type=float, default=0.5)
    p.add_argument("--tonal", type=float, default=0.1, help="share of crops that are tones and glides")
    p.add_argument("--constant", action="store_true")
    p.add_argument("--average", type=float, default=0.999)
    p.add_argument("--lossy", type=float, default=0.1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--log-every", type=int, default=50)
    p.add_argument("--start", type=Path, help="bundle to begin with: its architecture and codebooks, quantised from the first step")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="fields of siskin_models.stereo.StereoConfig")
    args = p.parse_args()
    # The phases of `train.py` that this one has not.
    args.adversary, args.mixed = 2.0, 0.0
    return args


class StereoTrainer(Trainer):
    LOGGED = ("shape", "distance", "convergence", "levels", "commit", "residual", "norm")

    def __init__(self, args):
        Training.__init__(self, args)
        self.AVERAGE = args.average
        config = StereoConfig(**{k: int(v) for k, v in (s.split("=") for s in args.set)})
        codec = load_bundle(args.start) if args.start else StereoCodec(config, args.groups, args.stages, args.size)
        self.codec, config = codec.train().to(args.device), codec.config
        args.stages = len(self.codec.quantizer.books)
        self.corpus = GeneralCorpus(args.corpus, args.speech, config.sample_rate)
        self.shape = ShapeLoss(config.sample_rate, WINDOWS, knee=args.knee).to(args.device)
        self.distance = EnergyDistance(config.sample_rate, HEARD, knee=2 * args.knee).to(args.device)
        self.convergence = Convergence(config.sample_rate, MISSED, 2 * args.knee).to(args.device)
        self.levels = BandLevels(config.sample_rate, 4096).to(args.device)
        opt = torch.optim.AdamW(self.codec.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.phase, self.books = 2 if args.start else 1, self.codec.quantizer.books
        self.begin(config, self.codec, opt)

    def extra(self):
        return {"stages": self.args.stages, "size": self.codec.quantizer.size, "books": self.books, "phase": self.phase}

    def restore(self, saved):
        self.phase, self.books = saved["phase"], saved["books"]

    def batch(self, size):
        length = self.args.frames * self.codec.config.hop
        return self.corpus.batch(self.rng, size, length, self.args.tonal).to(self.args.device)

    def prefixes(self, pcm):
        """Stages of each crop; a quarter of the crops changes them from frame to frame, as an average rate does."""
        size, stages = len(pcm), self.args.stages
        n = np.where(self.rng.random(size) < 0.75, np.minimum(self.rng.choice(OFTEN, size), stages),
                     self.rng.integers(1, stages + 1, size))
        n = np.repeat(n[:, None], self.args.frames, 1)
        unlike = self.rng.random(size) < 0.25
        n[unlike] += self.rng.integers(-2, 3, n[unlike].shape)
        return torch.from_numpy(n.clip(1, stages)).to(self.args.device)

    def way(self, count):
        """Directions from which crops are heard, [count, 2] (mid, side)."""
        angle = self.rng.random(count) * math.pi
        # A third from the middle or across, where most sounds and what is left of them lie.
        angle = np.where(self.rng.random(count) < 0.35, self.rng.choice((0, 0, 0.5), count) * math.pi, angle)
        return torch.tensor(np.stack([np.cos(angle), np.sin(angle)], -1), dtype=torch.float32, device=self.args.device)

    def draws(self, latents):
        self.heard_from = self.way(len(latents))
        return self.codec.decoder.draws(latents, self.heard_from)

    def judge(self, x, output):
        args, delay = self.args, self.codec.config.overlap
        wanted = torch.einsum("bcn,bc->bn", turn(x[..., :-delay], 1), self.heard_from)
        got = output[..., delay:]
        # By the power of both channels, so that a side that is hardly there counts as hardly there.
        level = 1 / (x[..., :-delay].pow(2).mean((1, 2)).sqrt()[:, None] + 1e-3)
        losses = {"shape": self.shape(wanted, got[0], level), "distance": self.distance(wanted, got[1:], level),
                  "convergence": self.convergence(wanted, got[1], level)}
        weights = {"shape": args.shape, "distance": args.distance, "convergence": args.convergence, "levels": args.levels}
        if self.step % 2:
            losses["levels"] = 2 * self.levels(wanted, got[1], level)
        gradient, = torch.autograd.grad(sum(weights[k] * v for k, v in losses.items()), output)
        return losses, gradient


if __name__ == "__main__":
    trainer = StereoTrainer(arguments())
    print(json.dumps(trainer.codec.parameters_by_part()), flush=True)
    trainer.run()
