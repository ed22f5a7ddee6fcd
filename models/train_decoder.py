"""Train a better decoder for the codes of a bundle: encoder and codebooks stand still, files coded long ago play better.

Crops and their codes are made once (`siskin_models.data.Bank`), so that a step is the decoder and its losses alone.

  python models/train_decoder.py --out .siskin/runs/decoder --minutes 95 --bf16 --threads 1

The same command resumes; `models/export.py --decoder CHECKPOINT` puts what was learnt into a bundle.
"""
import argparse
import math
from pathlib import Path

import torch

from siskin_models.codec import load_bundle
from siskin_models.data import Bank, Corpus
from siskin_models.frameloss import lose_frames
from siskin_models.losses import BandLevels, EnergyDistance, ShapeLoss, Voicing
from siskin_models.loudness import Disturbance
from siskin_models.stages import draw_stages, sum_stages
from siskin_models.trainer import NEW, Training


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bundle", type=Path, default=Path("models/bundles/speech-24k"), help="whose codes are decoded")
    p.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    p.add_argument("--bank", type=Path, default=Path(".siskin/bank"), help="crops and codes, made when missing")
    p.add_argument("--crops", type=int, default=16_000, help="crops of the bank")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=60, help="time budget of the whole run, over all resumptions")
    p.add_argument("--steps", type=int, help="budget of the whole run in steps instead of minutes")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--frames", type=int, default=40, help="code frames a crop")
    p.add_argument("--rate", type=float, default=2.5e-4)
    p.add_argument("--pace", type=float, default=4.0, help="how much faster the source of overtones learns")
    p.add_argument("--noise", type=float, default=0.0, metavar="DB", help="added to the level of the bundle's noise at the start")
    p.add_argument("--begin", type=Path, metavar="CHECKPOINT", help="what another run of this script learnt")
    p.add_argument("--harmonics", type=int, default=8, help="waveshapers of the source of overtones")
    p.add_argument("--shape", type=float, default=3.5, help="weight of the companded complex STFT")
    p.add_argument("--distance", type=float, default=1.0, help="weight of the energy distance")
    p.add_argument("--levels", type=float, default=1.0, help="weight of the levels of third octaves")
    p.add_argument("--voicing", type=float, default=0.2, help="weight of the repetition of voiced bands after a pitch period")
    p.add_argument("--heard", type=float, default=1.0, help="weight of the audible disturbance")
    p.add_argument("--knee", type=float, default=3000.0, help="Hz above which errors of the waveform count less")
    p.add_argument("--mixed", type=float, default=0.5, help="share of crops whose frames hold unlike numbers of stages, as with "
                   "an average rate")
    p.add_argument("--lossy", type=float, default=0.2, help="share of crops that lose frames before the decoder")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=False, help="networks in bfloat16")
    p.add_argument("--log-every", type=int, default=100, help="steps a row of loss.csv")
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


class Trainer(Training):
    LOGGED = ("shape", "distance", "levels", "voicing", "heard", "norm")

    def __init__(self, args):
        super().__init__(args)
        self.codec = load_bundle(args.bundle, harmonics=args.harmonics).requires_grad_(False)
        self.decoder = self.codec.decoder.requires_grad_(True)
        if args.noise:
            self.decoder.level.bias.data += args.noise * math.log(10) / 20
        if args.begin:
            known = torch.load(args.begin, weights_only=NEW)["average"]
            self.decoder.load_state_dict(known, strict=False)
        elif args.harmonics:
            self.decoder.harmonics.follow(self.decoder.level)
        rate = self.codec.config.sample_rate
        self.shape, self.distance = ShapeLoss(rate, knee=args.knee), EnergyDistance(rate, knee=20e3)
        self.levels, self.voicing, self.heard = BandLevels(rate), Voicing(rate), Disturbance(rate)
        # What is new learns faster than what has converged.
        new = [p for n, p in self.decoder.named_parameters() if n.startswith("harmonics.")]
        old = [p for n, p in self.decoder.named_parameters() if not n.startswith("harmonics.")]
        groups = [{"params": old, "pace": 1.0}, {"params": new, "pace": args.pace}]
        opt = torch.optim.AdamW([g for g in groups if g["params"]], args.rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.bank = Bank(args.bank, args.crops, args.frames, self.codec, Corpus(args.corpus, rate=rate), args.seed)
        self.books = self.codec.quantizer.books
        self.begin(self.codec.config, self.decoder, opt)

    def extra(self):
        return {"losses": {k: getattr(self.args, k) for k in ("shape", "distance", "levels", "voicing", "heard")}}

    def train_step(self, share):
        args, delay = self.args, self.codec.config.overlap
        self.set_rate(share)
        x, codes = self.bank.batch(self.rng, args.batch)
        stages = draw_stages(self.rng, x.numpy(), codes.shape[1], self.books.shape[0], args.mixed)
        z = lose_frames(sum_stages(codes, self.books, stages), self.rng, args.lossy)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            y = self.decoder.draws(z).float()
        wanted, got = x[:, :-delay], y[..., delay:]
        # The waveform is matched without noise and overtones; what is heard has them.
        losses = {"shape": self.shape(wanted, got[0]), "distance": self.distance(wanted, got[1:])}
        # Every third step costs a third and finds the same, for levels are those of a whole crop.
        if self.step % 3 == 0:
            losses["levels"] = 3 * self.levels(wanted, got[1])
        if args.voicing and self.step % 2:
            losses["voicing"] = 2 * self.voicing(wanted, got[1])
        if args.heard and self.step % 2 == 0:
            losses["heard"] = 2 * self.heard(wanted, got[1])
        self.opt.zero_grad(set_to_none=True)
        sum(getattr(args, k) * v for k, v in losses.items()).backward()
        return losses | {"norm": self.descend()}


if __name__ == "__main__":
    Trainer(arguments()).run()
