"""One training run: steps until a budget is spent, a log, checkpoints, and going on where it stood."""
import csv
import json
import math
import os
import signal
import time
from dataclasses import asdict

import numpy as np
import torch

# PyTorch 1's restricted reader knows no floats.
NEW = int(torch.__version__.split(".")[0]) >= 2
SAVE_EVERY = 180  # seconds


class Training:
    """What every run has in common; a subclass makes the networks, calls `begin` and gives `train_step`.

    `args` names out, seed, threads, rate, log_every, steps and, where a run may be bounded in time, minutes. The folder `out`
    gets `loss.csv` (means of `LOGGED` since the last row) and `last.pt`. SIGTERM and SIGINT end a run after its step, saved.
    """

    LOGGED = ()
    AVERAGE = 0.999  # of the weights before that a step leaves in the moving averages, at most
    CLIP = 2.0       # largest norm of a gradient

    def __init__(self, args):
        self.args = args
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self.rng = np.random.default_rng(args.seed)
        self.step, self.elapsed, self.stopped = 0, 0.0, False
        self.path = args.out / "last.pt"
        args.out.mkdir(parents=True, exist_ok=True)

    def begin(self, config, learner, optimizer):
        """`learner` is the module whose weights are saved and averaged. Goes on from a checkpoint if there is one."""
        self.config, self.learner, self.opt = config, learner, optimizer
        self.restart_average()
        if self.path.exists():
            self.resume()

    def restart_average(self):
        self.average = {k: v.detach().clone() for k, v in self.learner.named_parameters()}

    def train_step(self, share):
        """One step at a share of the budget -> the values to log; calls `descend`."""
        raise NotImplementedError

    def columns(self):
        """Columns of the log that are not means."""
        return {}

    def extra(self):
        """What a checkpoint holds besides."""
        return {}

    def restore(self, saved):
        """Takes `extra` back."""

    def resume(self):
        device = next(self.learner.parameters()).device
        saved = torch.load(self.path, map_location=device, weights_only=NEW)
        self.learner.load_state_dict(saved["model"])
        self.opt.load_state_dict(saved["optimizer"])
        self.average, self.step, self.elapsed = saved["average"], saved["step"], saved["elapsed"]
        torch.set_rng_state(saved["torch_rng"].cpu())
        self.rng.bit_generator.state = json.loads(saved["numpy_rng"])
        self.restore(saved)
        print(f"resumed at step {self.step}, {self.elapsed / 60:.1f} min", flush=True)

    def save(self):
        tmp = self.path.with_suffix(".tmp")
        torch.save({"config": asdict(self.config), "model": self.learner.state_dict(), "average": self.average,
                    "optimizer": self.opt.state_dict(), "step": self.step, "elapsed": self.elapsed,
                    "torch_rng": torch.get_rng_state(), "numpy_rng": json.dumps(self.rng.bit_generator.state)}
                   | self.extra(), tmp)
        os.replace(tmp, self.path)

    def set_rate(self, share, warm_up=200, constant=False):
        """Warms up over so many steps, then falls as a cosine to 2 %, unless no end is known."""
        fall = 1.0 if constant else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))
        self.rate = self.args.rate * min(1, (self.step + 1) / warm_up) * fall
        for group in self.opt.param_groups:
            group["lr"] = self.rate * group.get("pace", 1.0)

    def descend(self):
        """A step along the gradients that stand in the learner -> their norm."""
        with_gradient = [p for p in self.learner.parameters() if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(with_gradient, self.CLIP)
        # One item with an odd gradient shall not undo the others' work.
        if torch.isfinite(norm):
            self.opt.step()
        self.keep = min(self.AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            names, values = zip(*self.learner.named_parameters())
            means = [self.average[n] for n in names]
            # By differences, so that weights that stand still have exact averages.
            torch._foreach_add_(means, torch._foreach_sub(list(values), means), alpha=1 - self.keep)
        self.step += 1
        return norm

    def share(self):
        if self.args.steps:
            return self.step / self.args.steps
        return self.elapsed / (60 * self.args.minutes)

    def stop(self, *_):
        self.stopped = True

    def run(self):
        before = {s: signal.signal(s, self.stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            with open(self.args.out / "loss.csv", "a", newline="") as log:
                self.loop(log)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self.save()

    def loop(self, log):
        writer = csv.DictWriter(log, ["step", "seconds", *self.columns(), *self.LOGGED])
        if log.tell() == 0:
            writer.writeheader()
        means, saved = {}, time.time()
        while (share := self.share()) < 1 and not self.stopped:
            start = time.time()
            for k, v in self.train_step(share).items():
                means.setdefault(k, []).append(float(v.detach()))
            self.elapsed += time.time() - start
            if self.step % self.args.log_every == 0:
                row = {"step": self.step, "seconds": round(self.elapsed)} | self.columns()
                row |= {k: f"{np.mean(v):.4f}" for k, v in means.items()}
                writer.writerow(row)
                log.flush()
                print(*(f"{k} {v}" for k, v in row.items()), f"lr {self.rate:.1e}",
                      f"{1e3 * self.elapsed / self.step:.0f} ms/step", flush=True)
                means = {}
            if time.time() - saved > SAVE_EVERY:
                self.save()
                saved = time.time()
