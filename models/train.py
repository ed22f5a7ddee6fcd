"""Train a speech codec; every run can be stopped and resumed.

Three phases by share of the time budget:
  1. continuous autoencoder with noise on the latents,
  2. k-means start of the codebooks, then quantised training with random prefixes,
  3. encoder and codebooks frozen at their averages, decoder alone,
  4. the decoder against discriminators, every loss balanced by the norm of its gradient.

  python models/train.py --out .siskin/runs/main --minutes 75
  python models/train.py --out .siskin/runs/more --minutes 30 --start models/bundles/speech-24k
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

from siskin_models.arch import Config
from siskin_models.balancer import Balancer
from siskin_models.codec import Codec, grown, load, load_bundle
from siskin_models.data import Corpus
from siskin_models.discriminators import Adversary
from siskin_models.frameloss import lose_frames
from siskin_models.growth import widen_latents
from siskin_models.losses import BandLevels, EnergyDistance, ShapeLoss
from siskin_models.loudness import Disturbance
from siskin_models.stages import draw_stages
from siskin_models.trainer import Training

# Shares of the decoder's gradient in the last phase.
SHARES = {"shape": 1.0, "distance": 0.5, "heard": 1.0, "adversary": 0.4, "features": 0.6}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=60, help="time budget of the whole run, over all resumptions")
    p.add_argument("--steps", type=int, help="budget of the whole run in steps instead of minutes")
    p.add_argument("--continuous", type=float, default=0.08, help="share of the budget before quantisation")
    p.add_argument("--freeze", type=float, default=0.8, help="share of the budget after which the encoder stands still")
    p.add_argument("--groups", type=int, default=2, help="groups of the quantizer; 1 is plain RVQ")
    p.add_argument("--stages", type=int, default=9, help="residual stages of each group")
    p.add_argument("--adversary", type=float, default=1.0, help="share of the budget after which discriminators join")
    p.add_argument("--size", type=int, default=1024, help="entries of a codebook")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--frames", type=int, default=40, help="code frames a crop")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--shape", type=float, default=1.0, help="weight of the companded complex STFT against the energy distance")
    p.add_argument("--knee", type=float, default=5500.0, help="Hz above which spectral errors count less")
    p.add_argument("--distance", type=float, default=1.0, help="weight of the energy distance")
    p.add_argument("--heard", type=float, default=1.0, help="weight of the audible disturbance")
    p.add_argument("--levels", type=float, default=0.0, help="weight of the levels of third octaves")
    p.add_argument("--wide", action=argparse.BooleanOptionalAction, default=False,
                   help="raised pitches, second talkers and glides among the crops")
    p.add_argument("--mixed", type=float, default=0.0, help="share of crops whose frames hold unlike numbers of stages, as with "
                   "an average rate")
    p.add_argument("--constant", action=argparse.BooleanOptionalAction, default=False,
                   help="a rate that stays, for a run whose end is not known: its averages can be exported at any time")
    p.add_argument("--average", type=float, default=0.999, help="share of the moving averages that a step leaves")
    p.add_argument("--lossy", type=float, default=0.2, help="share of crops that lose frames before the decoder")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available(),
                   help="networks in bfloat16: faster on a GPU, and on a CPU that has instructions for it")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--start", type=Path, help="bundle or checkpoint to begin with; with its groups and stages, the continuous "
                   "phase is skipped; wider latents (--set latent=N skip=1) begin without changing what is said")
    p.add_argument("--log-every", type=int, default=100, help="steps a row of loss.csv")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="fields of siskin_models.arch.Config")
    return p.parse_args()


class Trainer(Training):
    LOGGED = ("shape", "distance", "heard", "levels", "commit", "residual", "norm", "adversary", "features", "discriminators")

    def __init__(self, args):
        super().__init__(args)
        self.AVERAGE = args.average
        self.codec = self.beginning()
        self.codec.train().to(args.device)
        config = self.codec.config
        self.shape = ShapeLoss(config.sample_rate, knee=args.knee).to(args.device)
        self.distance = EnergyDistance(config.sample_rate).to(args.device)
        self.heard = Disturbance(config.sample_rate).to(args.device)
        self.levels = BandLevels(config.sample_rate).to(args.device)
        opt = torch.optim.AdamW(self.codec.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.adversary = Adversary().to(args.device)
        self.balancer = Balancer(SHARES)
        self.phase = 2 if self.codec.quantizer.books.any() else 1
        self.books = self.codec.quantizer.books
        self.begin(config, self.codec, opt)

    def beginning(self):
        args = self.args
        fields = {k: int(v) for k, v in (s.split("=") for s in args.set)}
        self.corpus = Corpus(args.corpus, rate=Config(**fields).sample_rate)
        if args.start is None:
            return Codec(Config(**fields), args.groups, args.stages, args.size)
        old = load(args.start)[0] if args.start.is_file() else load_bundle(args.start, args.groups, args.stages)
        codec = grown(old, **fields) if fields else old
        if codec.config.latent > old.config.latent and not self.path.exists():
            speech = lambda: self.corpus.batch(self.rng, 64, args.frames * codec.config.hop, args.wide)
            widen_latents(codec, old.config.latent, torch.cat([speech() for _ in range(8)]))
            with torch.no_grad():
                codec.fit_quantizer(torch.cat([codec.encode(speech()).flatten(0, 1) for _ in range(20)]))
        return codec

    def columns(self):
        return {"phase": self.phase}

    def extra(self):
        return {"stages": self.args.stages, "size": self.codec.quantizer.size, "books": self.books, "phase": self.phase,
                "adversary": self.adversary.state_dict(), "norms": self.balancer.norms,
                "adversary_optimizer": self.adversary.optimizer.state_dict()}

    def restore(self, saved):
        self.adversary.load_state_dict(saved["adversary"])
        self.adversary.optimizer.load_state_dict(saved["adversary_optimizer"])
        self.balancer.norms, self.phase, self.books = saved["norms"], saved["phase"], saved["books"]

    def half(self):
        return torch.autocast(self.args.device.split(":")[0], torch.bfloat16, enabled=self.args.bf16)

    def batch(self, size):
        length = self.args.frames * self.codec.config.hop
        return self.corpus.batch(self.rng, size, length, self.args.wide).to(self.args.device)

    @torch.no_grad()
    def latents(self, vectors):
        """[>= vectors, D] latents of fresh crops."""
        found = []
        while sum(map(len, found)) < vectors:
            found.append(self.codec.encode(self.batch(64)).flatten(0, 1))
        return torch.cat(found)

    def prefixes(self, pcm):
        """Stages of each frame: a third of the items has all, a third two thirds of them (the default rate), a third any number;
        a share `mixed` has unlike frames."""
        stages, batch = self.args.stages, len(pcm)
        if self.args.mixed:
            n = draw_stages(self.rng, pcm.cpu().numpy(), self.args.frames, stages, self.args.mixed)
        else:
            choices = np.stack([np.full(batch, stages), np.full(batch, stages * 2 // 3), self.rng.integers(1, stages, batch)])
            n = choices[self.rng.integers(3, size=batch), np.arange(batch)]
        return torch.from_numpy(n).to(self.args.device)

    def enter_phases(self, share):
        if self.phase == 1 and share >= self.args.continuous:
            self.codec.fit_quantizer(self.latents(48_000))
            # The latents may have been turned, and their averages are not the averages of turned weights.
            self.restart_average()
            self.books = self.codec.quantizer.books
            self.opt.state.clear()
            self.phase = 2
        elif self.phase == 2 and share >= self.args.freeze:
            self.codec.load_state_dict(self.average, strict=False)
            self.codec.quantizer.fit(self.latents(96_000), rounds=4, start=self.codec.quantizer.books)
            self.books = self.codec.quantizer.books
            for part in (self.codec.encoder, self.codec.quantizer):
                part.requires_grad_(False)
            self.phase = 3
        elif self.phase == 3 and share >= self.args.adversary:
            self.phase = 4
        if self.phase >= 3:
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.eval()

    def train_step(self, share):
        args = self.args
        self.enter_phases(share)
        self.set_rate(share, constant=args.constant)
        x = self.batch(args.batch)
        with self.half():
            z = self.codec.encode(x)
        z = z.float()
        commit = rest = torch.zeros(())
        if self.phase == 1:
            q = z + torch.randn_like(z) * 0.5 * torch.rand(len(z), 1, 1, device=z.device)
        else:
            q, commit, _, rest = self.codec.quantizer(z, self.prefixes(x))
            q = lose_frames(q, self.rng, args.lossy)
        with self.half():
            y = self.draws(q)
        # The losses are cut off from the networks here, so that each can be weighed by its gradient at the output.
        output = y.detach().float().requires_grad_()
        losses, gradient = self.judge(x, output)
        self.opt.zero_grad(set_to_none=True)
        if self.phase == 2:
            torch.autograd.backward([y, commit], [gradient.to(y.dtype), torch.tensor(0.25, device=y.device)])
        else:
            y.backward(gradient.to(y.dtype))
        norm = self.descend()
        if self.phase == 2:
            self.books.lerp_(self.codec.quantizer.books, 1 - self.keep)
        return losses | {"commit": commit, "residual": rest, "norm": norm}

    def draws(self, latents):
        return self.codec.decoder.draws(latents)

    def judge(self, x, output):
        """Losses of what `Decoder.draws` gave, late by the codec's overlap, and their weighted gradient at it."""
        args, delay = self.args, self.codec.config.overlap
        wanted, got = x[:, :-delay], output[..., delay:]
        # The waveform is matched without the noise; what is heard has it.
        draws = got[1:] if len(got) > 1 else got
        heard = draws[0]
        losses = {"shape": self.shape(wanted, got[0]), "distance": self.distance(wanted, draws)}
        if self.phase == 4:
            losses["heard"] = self.heard(wanted, heard)
        # Taken in turns these cost less and find the same.
        elif args.heard and self.step % 2 == 0:
            losses["heard"] = 2 * self.heard(wanted, heard)
        elif args.levels and self.step % 2:
            losses["levels"] = 2 * self.levels(wanted, heard)
        if self.phase < 4:
            weights = {"shape": args.shape, "distance": args.distance, "heard": args.heard, "levels": args.levels}
            gradient, = torch.autograd.grad(sum(weights[k] * v for k, v in losses.items()), output)
            return losses, gradient
        # Speech at unit level, and a quarter of the items: the discriminators cost more than all the rest.
        few = max(1, len(x) // 4)
        level = 1 / (wanted[:few].pow(2).mean(-1, keepdim=True).sqrt() + 1e-3)
        real, fake = wanted[:few] * level, heard[:few] * level
        learnt = self.adversary.learn(real, fake.detach())
        losses |= self.adversary.judge(real, fake)
        return losses | {"discriminators": learnt}, self.balancer.gradient(losses, output)


if __name__ == "__main__":
    trainer = Trainer(arguments())
    print(json.dumps(trainer.codec.parameters_by_part()), flush=True)
    trainer.run()
