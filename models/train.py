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
import csv
import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from siskin_models.arch import Config
from siskin_models.balancer import Balancer
from siskin_models.codec import Codec, load_bundle
from siskin_models.data import Corpus
from siskin_models.discriminators import Adversary
from siskin_models.frameloss import lose_frames
from siskin_models.losses import EnergyDistance, ShapeLoss
from siskin_models.loudness import Disturbance

# PyTorch 1's restricted reader knows no floats.
NEW = int(torch.__version__.split(".")[0]) >= 2
LOGGED = ("shape", "distance", "heard", "commit", "residual", "norm", "adversary", "features", "discriminators")
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
    p.add_argument("--heard", type=float, default=1.0, help="weight of the audible disturbance")
    p.add_argument("--lossy", type=float, default=0.2, help="share of crops that lose frames before the decoder")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available(),
                   help="networks in bfloat16: faster on a GPU, and on a CPU that has instructions for it")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--start", type=Path, help="bundle to begin with; with its groups and stages, the continuous phase is skipped")
    p.add_argument("--log-every", type=int, default=100, help="steps a row of loss.csv")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="fields of siskin_models.arch.Config")
    return p.parse_args()


class Trainer:
    def __init__(self, args):
        self.args = args
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self.rng = np.random.default_rng(args.seed)
        fields = {k: int(v) for k, v in (s.split("=") for s in args.set)}
        if args.start:
            self.codec = load_bundle(args.start, args.groups, args.stages, **fields)
        else:
            self.codec = Codec(Config(**fields), args.groups, args.stages, args.size)
        self.codec.to(args.device)
        config = self.codec.config
        self.shape = ShapeLoss(config.sample_rate, knee=args.knee).to(args.device)
        self.distance = EnergyDistance(config.sample_rate).to(args.device)
        self.heard = Disturbance(config.sample_rate).to(args.device)
        self.opt = torch.optim.AdamW(self.codec.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.average = {k: v.detach().clone() for k, v in self.codec.named_parameters()}
        self.corpus = Corpus(args.corpus, rate=config.sample_rate)
        self.step, self.elapsed, self.phase = 0, 0.0, 1
        if args.start and self.codec.quantizer.books.any():
            self.phase = 2
        self.adversary = Adversary().to(args.device)
        self.balancer = Balancer(SHARES)
        self.path = args.out / "last.pt"
        if self.path.exists():
            self.resume()

    def resume(self):
        saved = torch.load(self.path, map_location=self.args.device, weights_only=NEW)
        self.codec.load_state_dict(saved["model"])
        self.opt.load_state_dict(saved["optimizer"])
        self.average = saved["average"]
        self.adversary.load_state_dict(saved["adversary"])
        self.adversary.optimizer.load_state_dict(saved["adversary_optimizer"])
        self.balancer.norms = saved["norms"]
        self.step, self.elapsed, self.phase = saved["step"], saved["elapsed"], saved["phase"]
        torch.set_rng_state(saved["torch_rng"].cpu())
        self.rng.bit_generator.state = json.loads(saved["numpy_rng"])
        print(f"resumed at step {self.step}, {self.elapsed / 60:.1f} min", flush=True)

    def save(self):
        tmp = self.path.with_suffix(".tmp")
        torch.save({
            "config": asdict(self.codec.config), "stages": self.args.stages, "size": self.args.size,
            "model": self.codec.state_dict(), "average": self.average, "books": self.codec.quantizer.books,
            "optimizer": self.opt.state_dict(), "step": self.step, "elapsed": self.elapsed, "phase": self.phase,
            "adversary": self.adversary.state_dict(), "norms": self.balancer.norms,
            "adversary_optimizer": self.adversary.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(), "numpy_rng": json.dumps(self.rng.bit_generator.state),
        }, tmp)
        os.replace(tmp, self.path)

    def half(self):
        return torch.autocast(self.args.device.split(":")[0], torch.bfloat16, enabled=self.args.bf16)

    def batch(self, size):
        length = self.args.frames * self.codec.config.hop
        return self.corpus.batch(self.rng, size, length).to(self.args.device)

    @torch.no_grad()
    def latents(self, vectors):
        """[>= vectors, D] latents of fresh crops."""
        found = []
        while sum(map(len, found)) < vectors:
            found.append(self.codec.encode(self.batch(64)).flatten(0, 1))
        return torch.cat(found)

    def prefixes(self):
        """Stages of each item: a third all, a third two thirds of them (the default rate), a third any number."""
        stages, batch = self.args.stages, self.args.batch
        choices = np.stack([np.full(batch, stages), np.full(batch, stages * 2 // 3), self.rng.integers(1, stages, batch)])
        n = choices[self.rng.integers(3, size=batch), np.arange(batch)]
        return torch.from_numpy(n).to(self.args.device)

    def enter_phases(self, share):
        if self.phase == 1 and share >= self.args.continuous:
            self.codec.fit_quantizer(self.latents(48_000))
            # The latents may have been turned, and their averages are not the averages of turned weights.
            self.average = {k: v.detach().clone() for k, v in self.codec.named_parameters()}
            self.opt.state.clear()
            self.phase = 2
        elif self.phase == 2 and share >= self.args.freeze:
            self.codec.load_state_dict(self.average, strict=False)
            self.codec.quantizer.fit(self.latents(96_000), rounds=4, start=self.codec.quantizer.books)
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
        rate = args.rate * min(1, (self.step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self.opt.param_groups:
            group["lr"] = rate
        x = self.batch(args.batch)
        with self.half():
            z = self.codec.encode(x)
        z = z.float()
        commit = rest = torch.zeros(())
        if self.phase == 1:
            q = z + torch.randn_like(z) * 0.5 * torch.rand(len(z), 1, 1, device=z.device)
        else:
            q, commit, _, rest = self.codec.quantizer(z, self.prefixes())
            q = lose_frames(q, self.rng, args.lossy)
        with self.half():
            y = self.codec.decoder.draws(q)
        # The losses are cut off from the networks here, so that each can be weighed by its gradient at the output.
        output = y.detach().float().requires_grad_()
        losses, gradient = self.judge(x, output)
        self.opt.zero_grad(set_to_none=True)
        if self.phase == 2:
            torch.autograd.backward([y, commit], [gradient.to(y.dtype), torch.tensor(0.25, device=y.device)])
        else:
            y.backward(gradient.to(y.dtype))
        norm = torch.nn.utils.clip_grad_norm_([p for p in self.codec.parameters() if p.grad is not None], 2.0)
        # One item with an odd gradient shall not undo the others' work.
        if torch.isfinite(norm):
            self.opt.step()
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            names, values = zip(*self.codec.named_parameters())
            means = [self.average[n] for n in names]
            torch._foreach_mul_(means, keep)
            torch._foreach_add_(means, list(values), alpha=1 - keep)
        self.step += 1
        return losses | {"commit": commit, "residual": rest, "norm": norm}, rate

    def judge(self, x, output):
        """Losses of what `Decoder.draws` gave, late by the codec's overlap, and their weighted gradient at it."""
        args, delay = self.args, self.codec.config.overlap
        wanted, got = x[:, :-delay], output[..., delay:]
        # The waveform is matched without the noise; what is heard has it.
        draws = got[1:] if len(got) > 1 else got
        heard = draws[0]
        losses = {"shape": self.shape(wanted, got[0]), "distance": self.distance(wanted, draws),
                  "heard": self.heard(wanted, heard)}
        if self.phase < 4:
            weights = {"shape": args.shape, "distance": 1.0, "heard": args.heard}
            gradient, = torch.autograd.grad(sum(weights[k] * v for k, v in losses.items()), output)
            return losses, gradient
        # Speech at unit level, and a quarter of the items: the discriminators cost more than all the rest.
        few = max(1, len(x) // 4)
        level = 1 / (wanted[:few].pow(2).mean(-1, keepdim=True).sqrt() + 1e-3)
        real, fake = wanted[:few] * level, heard[:few] * level
        learnt = self.adversary.learn(real, fake.detach())
        losses |= self.adversary.judge(real, fake)
        return losses | {"discriminators": learnt}, self.balancer.gradient(losses, output)

    def run(self):
        budget = self.args.minutes * 60
        log = open(self.args.out / "loss.csv", "a", newline="")
        writer = csv.DictWriter(log, ["step", "seconds", "phase", *LOGGED])
        mean, saved = {}, time.time()
        while (share := self.step / self.args.steps if self.args.steps else self.elapsed / budget) < 1:
            start = time.time()
            self.enter_phases(share)
            values, rate = self.train_step(share)
            for k, v in values.items():
                mean.setdefault(k, []).append(float(v.detach()))
            self.elapsed += time.time() - start
            if self.step % self.args.log_every == 0:
                row = {"step": self.step, "seconds": round(self.elapsed), "phase": self.phase}
                row |= {k: f"{np.mean(v):.4f}" for k, v in mean.items()}
                if log.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
                log.flush()
                print(*(f"{k} {v}" for k, v in row.items()), f"lr {rate:.1e}",
                      f"{1e3 * self.elapsed / self.step:.0f} ms/step", flush=True)
                mean = {}
            if time.time() - saved > 180:
                self.save()
                saved = time.time()
        self.save()


if __name__ == "__main__":
    ARGS = arguments()
    ARGS.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(ARGS)
    print(json.dumps(trainer.codec.parameters_by_part()), flush=True)
    trainer.run()
