"""Train text2vec. Two parts, each of which can be stopped and resumed:

  python models/tts/train.py acoustic --minutes 40     # phonemes -> features; knows nothing of the codec
  python models/tts/train.py vec --minutes 15          # features -> latents of the codec given by --codec
"""
import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import CHARACTERS, Speech, features, ids  # noqa: E402
from features import HOP, MELS  # noqa: E402
from model import NOISE, Acoustic, Config, Vec, expand  # noqa: E402
from start import least_squares  # noqa: E402

from siskin_models.codec import load, load_bundle  # noqa: E402
from siskin_models.losses import EnergyDistance, ShapeLoss  # noqa: E402

DECAY = 0.05
# Frames that the codec's encoder hears before a crop, as many as it remembers.
BEFORE = 32


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("part", choices=["acoustic", "vec"])
    p.add_argument("--data", type=Path, default=Path(".siskin/tts/data"))
    p.add_argument("--out", type=Path, default=Path(".siskin/tts/run"))
    p.add_argument("--codec", type=Path, default=Path("models/bundles/speech-24k"),
                   help="its bundle, or a training checkpoint (.pt)")
    p.add_argument("--minutes", type=float, default=30, help="time budget, over all resumptions")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--frames", type=int, default=60, help="frames a crop of vec")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def padded(rows):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


class AcousticPart:
    def __init__(self, args, speech, config):
        self.speech, self.batch = speech, args.batch
        self.net = Acoustic(config)
        self.cache = {}
        # Batches of sentences of one length waste little on padding.
        self.order = np.argsort([len(c["mel"]) for c in speech.train])

    def prepared(self, clip):
        key = clip["voice"] + clip["name"]
        if key not in self.cache:
            self.cache[key] = (ids(clip["tokens"]), torch.from_numpy(clip["durations"]), features(clip),
                               self.speech.speaker(clip))
        return self.cache[key]

    def sample(self, rng):
        start = rng.integers(0, max(1, len(self.order) - self.batch + 1))
        return [self.speech.train[i] for i in self.order[start: start + self.batch]]

    def loss(self, clips):
        tokens, durations, wanted, speakers = zip(*(self.prepared(c) for c in clips))
        there = padded([torch.ones(len(t)) for t in tokens])
        hidden, logdur = self.net.encode(padded(tokens), torch.tensor(speakers), there)
        expanded = padded([expand(h[: len(d)], d) for h, d in zip(hidden, durations)])
        frames = padded([torch.ones(len(w)) for w in wanted])
        out, wanted = self.net.frames(expanded, frames), padded(wanted)
        count, voiced = frames.sum(), wanted[..., -1] * frames
        aim = (padded(durations).float() + 1).log()
        return {
            "mel": ((out[..., :MELS] - wanted[..., :MELS]).abs().mean(-1) * frames).sum() / count,
            "pitch": 0.3 * ((out[..., MELS] - wanted[..., MELS]).abs() * voiced).sum() / (voiced.sum() + 1),
            "voicing": 0.1 * (F.binary_cross_entropy_with_logits(out[..., -1], wanted[..., -1], reduction="none") *
                              frames).sum() / count,
            "duration": 0.3 * ((logdur - aim).square() * there).sum() / there.sum(),
        }


class VecPart:
    def __init__(self, args, speech, config):
        self.speech, self.batch, self.frames = speech, args.batch, args.frames
        self.codec = load_bundle(args.codec) if args.codec.is_dir() else load(args.codec)[0]
        self.codec.eval().requires_grad_(False)
        self.net, self.shape, self.distance, self.cache = Vec(config), ShapeLoss(), EnergyDistance(), {}
        self.long = [c for c in speech.train if len(c["mel"]) > args.frames]

    def sample(self, rng):
        chosen = [self.long[i] for i in rng.integers(0, len(self.long), self.batch)]
        return [(c, rng.integers(0, len(c["mel"]) - self.frames)) for c in chosen]

    def loss(self, crops):
        rows = []
        for clip, start in crops:
            key, cut = clip["voice"] + clip["name"], slice(start, start + self.frames)
            if key not in self.cache:
                self.cache[key] = features(clip), torch.from_numpy(clip["phase"])
            first = max(0, start - BEFORE)
            sound = clip["pcm"][first * HOP: (start + self.frames) * HOP].astype(np.float32) / 32767
            sound = torch.from_numpy(np.pad(sound, ((BEFORE + first - start) * HOP, 0)))
            rows.append([x[cut] for x in self.cache[key]] + [sound])
        known, phase, sound = (torch.stack(x) for x in zip(*rows))
        with torch.no_grad():
            latents = self.codec.encode(sound)[:, BEFORE:]
        pcm = sound[:, BEFORE * HOP:]
        # What the acoustic part gives is smoother than what was measured: some noise keeps this one from fine detail.
        blurred = known + torch.cat([0.1 * torch.randn_like(known[..., :-1]), torch.zeros_like(known[..., -1:])], -1)
        z = self.net(blurred, phase, torch.randn(*phase.shape, NOISE))
        late = self.codec.config.overlap
        wanted, made = pcm[:, 4 * HOP: -late], self.codec.decoder.draws(z)[..., late + 4 * HOP:]
        return {"shape": 0.5 * self.shape(wanted, made[0]), "distance": self.distance(wanted, made[-2:]),
                "latent": 0.1 * F.mse_loss(z[:, 4:-4], latents[:, 4:-4])}


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.part}.pt"
    saved = torch.load(path, weights_only=True) if path.exists() else None
    speech = Speech(args.data, saved["voices"] if saved else None)
    config = Config(**saved["config"]) if saved else Config(len(CHARACTERS) + 1, len(speech.voices))
    part = (AcousticPart if args.part == "acoustic" else VecPart)(args, speech, config)
    net = part.net
    optimiser = torch.optim.AdamW(net.parameters(), args.rate, (0.9, 0.98), weight_decay=DECAY)
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    step, spent = 0, 0.0
    if saved:
        net.load_state_dict(saved["now"])
        optimiser.load_state_dict(saved["optimiser"])
        average, step, spent = saved["average"], saved["step"], saved["seconds"]
    elif args.part == "acoustic":
        least_squares(net, speech)
        average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    sums, shown, begun, budget = {}, step, time.time() - spent, args.minutes * 60
    print(f"{args.part}: {sum(p.numel() for p in net.parameters())} parameters, {len(speech.voices)} voices, "
          f"{len(speech.train)} sentences")
    while (spent := time.time() - begun) < budget:
        rate = args.rate * min(1, (step + 1) / 200) * max(0.02, 1 - spent / budget)
        for group in optimiser.param_groups:
            group["lr"] = rate
        net.train()
        parts = part.loss(part.sample(rng))
        optimiser.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(0.998, step / (step + 20))
        with torch.no_grad():
            for k, v in net.state_dict().items():
                average[k].lerp_(v, 1 - keep) if v.is_floating_point() else average[k].copy_(v)
        for k, v in parts.items():
            sums[k] = sums.get(k, 0) + v.item()
        if step % 50 == 0:
            print(f"{step} {spent:.0f} s " + " ".join(f"{k} {v / (step - shown):.4f}" for k, v in sums.items()), flush=True)
            sums, shown = {}, step
            save(path, net, average, optimiser, step, spent, speech, config)
    save(path, net, average, optimiser, step, spent, speech, config)


def save(path, net, average, optimiser, step, spent, speech, config):
    torch.save({"now": net.state_dict(), "average": average, "optimiser": optimiser.state_dict(), "step": step,
                "seconds": spent, "voices": speech.voices, "config": asdict(config)}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    main()
