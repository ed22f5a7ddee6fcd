"""Train a speech codec; every run can be stopped and resumed.

Three phases by share of the time budget:
  1. continuous autoencoder with noise on the latents,
  2. k-means start of the codebooks, then quantised training with random prefixes,
  3. encoder and codebooks frozen at their averages, decoder alone.

  python models/train.py --out .siskin/runs/main --minutes 75
  python models/train.py --out .siskin/runs/more --minutes 30 --start models/checkpoints/speech-24k.safetensors
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
from siskin_models.codec import Codec, load_weights
from siskin_models.data import Corpus
from siskin_models.losses import SpectralLoss

STAGES, SIZE = 18, 1024
FAVOURED = [3, 6, 12]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=60, help="time budget of the whole run, over all resumptions")
    p.add_argument("--continuous", type=float, default=0.08, help="share of the budget before quantisation")
    p.add_argument("--freeze", type=float, default=0.8, help="share of the budget after which the encoder stands still")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--frames", type=int, default=40, help="code frames a crop")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--shape", type=float, default=1.0, help="weight of the companded complex STFT against log-mel")
    p.add_argument("--knee", type=float, default=5500.0, help="Hz above which spectral errors count less")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--start", type=Path, help="weights to begin with; skips the continuous phase")
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
        self.codec = load_weights(args.start) if args.start else Codec(Config(**fields), STAGES, SIZE)
        self.codec.to(args.device)
        config = self.codec.config
        self.crit = SpectralLoss(config.sample_rate, knee=args.knee).to(args.device)
        self.opt = torch.optim.AdamW(self.codec.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.01,
                                     fused=True)
        self.average = {k: v.detach().clone() for k, v in self.codec.named_parameters()}
        self.corpus = Corpus(args.corpus)
        self.step, self.elapsed, self.phase = 0, 0.0, 2 if args.start else 1
        self.path = args.out / "last.pt"
        if self.path.exists():
            self.resume()

    def resume(self):
        saved = torch.load(self.path, map_location=self.args.device, weights_only=True)
        self.codec.load_state_dict(saved["model"])
        self.opt.load_state_dict(saved["optimizer"])
        self.average = saved["average"]
        self.step, self.elapsed, self.phase = saved["step"], saved["elapsed"], saved["phase"]
        torch.set_rng_state(saved["torch_rng"].cpu())
        self.rng.bit_generator.state = json.loads(saved["numpy_rng"])
        print(f"resumed at step {self.step}, {self.elapsed / 60:.1f} min", flush=True)

    def save(self):
        tmp = self.path.with_suffix(".tmp")
        torch.save({
            "config": asdict(self.codec.config), "stages": STAGES, "size": SIZE,
            "model": self.codec.state_dict(), "average": self.average, "books": self.codec.quantizer.books,
            "optimizer": self.opt.state_dict(), "step": self.step, "elapsed": self.elapsed, "phase": self.phase,
            "torch_rng": torch.get_rng_state(), "numpy_rng": json.dumps(self.rng.bit_generator.state),
        }, tmp)
        os.replace(tmp, self.path)

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
        """Half of the items use all stages; the rest one of the product's prefixes or any other."""
        n = np.where(self.rng.random(self.args.batch) < 0.6, self.rng.choice(FAVOURED, self.args.batch),
                     self.rng.integers(1, STAGES, self.args.batch))
        n = np.where(self.rng.random(self.args.batch) < 0.4, STAGES, n)
        return torch.from_numpy(n).to(self.args.device)

    def enter_phases(self, share):
        if self.phase == 1 and share >= self.args.continuous:
            self.codec.quantizer.fit(self.latents(48_000))
            self.phase = 2
        elif self.phase == 2 and share >= self.args.freeze:
            self.codec.load_state_dict(self.average, strict=False)
            self.codec.quantizer.fit(self.latents(96_000), rounds=4, start=self.codec.quantizer.books.clone())
            for part in (self.codec.encoder, self.codec.quantizer):
                part.requires_grad_(False)
            self.phase = 3
        if self.phase == 3:
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.eval()

    def train_step(self, share):
        args = self.args
        rate = args.rate * min(1, (self.step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self.opt.param_groups:
            group["lr"] = rate
        x = self.batch(args.batch)
        with torch.autocast("cuda", torch.bfloat16, enabled=args.device == "cuda"):
            z = self.codec.encode(x)
        z = z.float()
        commit = rest = torch.zeros(())
        if self.phase == 1:
            q = z + torch.randn_like(z) * 0.5 * torch.rand(len(z), 1, 1, device=z.device)
        else:
            q, commit, _, rest = self.codec.quantizer(z, self.prefixes())
        with torch.autocast("cuda", torch.bfloat16, enabled=args.device == "cuda"):
            y = self.codec.decode(q)
        delay = self.codec.config.overlap
        parts = self.crit(x[:, :-delay], y[:, delay:].float())
        loss = args.shape * parts["shape"] + parts["mel"] + (0.25 * commit if self.phase == 2 else 0)
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in self.codec.parameters() if p.grad is not None], 2.0)
        if torch.isfinite(norm):
            self.opt.step()
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            names, values = zip(*self.codec.named_parameters())
            torch._foreach_lerp_([self.average[n] for n in names], list(values), 1 - keep)
        self.step += 1
        return {"loss": loss, "shape": parts["shape"], "mel": parts["mel"], "commit": commit, "residual": rest,
                "norm": norm}, rate

    def run(self):
        budget = self.args.minutes * 60
        log = open(self.args.out / "loss.csv", "a", newline="")
        writer = csv.writer(log)
        mean, saved = {}, time.time()
        while self.elapsed < budget:
            start = time.time()
            share = self.elapsed / budget
            self.enter_phases(share)
            values, rate = self.train_step(share)
            for k, v in values.items():
                mean.setdefault(k, []).append(float(v.detach()))
            self.elapsed += time.time() - start
            if self.step % 100 == 0:
                row = [self.step, round(self.elapsed), self.phase] + [f"{np.mean(v):.4f}" for v in mean.values()]
                if log.tell() == 0:
                    writer.writerow(["step", "seconds", "phase", *mean])
                writer.writerow(row)
                log.flush()
                print(*row, f"lr {rate:.1e}", f"{1e3 * self.elapsed / self.step:.0f} ms/step", flush=True)
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
