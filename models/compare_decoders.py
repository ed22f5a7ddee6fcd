"""Compare a decoder of train_decoder.py or train_levels.py with that of the bundle, on the same codes of speakers held out of
training; or a whole codec of train.py, which has codes of its own, with the bundle's.

  python models/compare_decoders.py --decoder .siskin/runs/decoder/last.pt --noise 0 -2 -4
  python models/compare_decoders.py --codec .siskin/runs/long/last.pt --noise 0 -2
  python models/compare_decoders.py --noise 1 2    the bundle's own decoder at other levels of its noise

Prints the means of each variant and its paired differences from the bundle's decoder with their standard errors; every clip's
scores go into --out, and what stands there is not computed again. Codes are those of the greedy search.
"""
import argparse
import csv
import math
from pathlib import Path

import numpy as np
import torch

from siskin_eval import clips, metrics
from siskin_models.codec import load, load_bundle
from siskin_models.quantizer import decode, encode

# PyTorch 1's restricted reader knows no floats.
NEW = int(torch.__version__.split(".")[0]) >= 2
METRICS = ["visqol", "speaker", "hnr", "hoarse", "stoi", "level", "bright", "brilliant", "octaves", "mel", "pesq"]
BUNDLE = "bundle"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bundle", type=Path, default=Path("models/bundles/speech-24k"))
    p.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    p.add_argument("--decoder", type=Path, metavar="CHECKPOINT", help="without it the bundle's own, at other levels of noise")
    p.add_argument("--codec", type=Path, metavar="CHECKPOINT", help="of train.py: encoder and codebooks are its own too")
    p.add_argument("--noise", type=float, nargs="*", default=[0.0], metavar="DB",
                   help="added to the level of its noise, a variant each")
    p.add_argument("--noise-above", type=float, default=0.0, metavar="HZ", help="only to that of bands from there on")
    p.add_argument("--stages", type=int, default=6)
    p.add_argument("--per-speaker", type=int, default=1)
    p.add_argument("--metrics", nargs="*", default=METRICS, choices=list(metrics.TABLE))
    p.add_argument("--out", type=Path, default=Path(".siskin/eval/decoders.csv"))
    return p.parse_args()


class Variants:
    """The bundle's decoder and that of a checkpoint at several levels of noise, for one clip's codes; or for its own."""

    def __init__(self, bundle, checkpoint, levels, above=0.0, codec=None):
        self.above = above
        self.old = load_bundle(bundle).eval()
        if codec is not None:
            self.new = load(codec)[0]
        elif checkpoint is None:
            self.new = load_bundle(bundle).eval()
        else:
            saved = torch.load(checkpoint, map_location="cpu", weights_only=NEW)
            self.new = load_bundle(bundle, harmonics=saved["config"]["harmonics"]).eval()
            self.new.decoder.load_state_dict({k: v.float() for k, v in saved["average"].items()}, strict=False)
        self.levels = {f"{level:+g} dB": level for level in levels}
        self.names = [BUNDLE, *self.levels]

        self.coders = {name: self.new if codec is not None and name != BUNDLE else self.old for name in self.names}

    @torch.no_grad()
    def latents(self, coder, pcm, stages):
        config, books = coder.config, coder.quantizer.books
        padded = np.pad(pcm, (0, config.overlap + -(len(pcm) + config.overlap) % config.hop))
        return decode(encode(coder.encode(torch.from_numpy(padded)[None])[0], books), books, stages)

    @torch.no_grad()
    def decode(self, name, latents, length):
        codec, bias = (self.old if name == BUNDLE else self.new), self.new.decoder.level.bias
        kept = bias.data.clone()
        self.new.decoder.raise_noise(self.levels.get(name, 0.0), self.above)
        pcm = codec.decode(latents[None])[0].numpy()
        bias.data.copy_(kept)
        return pcm[codec.config.overlap:][:length]


def table(rows, names, measures):
    """Means, then paired differences from the bundle's decoder with standard errors."""
    titles = [m.title + " *" * bool(m.trained) for m in measures]
    lines = ["| decoder | " + " | ".join(titles) + " |", "|---" * (1 + len(titles)) + "|"]
    score = lambda name, m: np.array([float(r[m.name]) for r in rows if r["variant"] == name])
    for name in names:
        lines.append(f"| {name} | " + " | ".join(f"{np.nanmean(score(name, m)):.{m.digits}f}" for m in measures) + " |")
    for name in names[1:]:
        cells = []
        for m in measures:
            gap = score(name, m) - score(BUNDLE, m)
            gap = gap[~np.isnan(gap)]
            error = gap.std(ddof=1) / math.sqrt(len(gap)) if len(gap) > 1 else math.nan
            cells.append(f"{gap.mean():+.{m.digits + 1}f} ± {error:.{m.digits + 1}f}")
        lines.append(f"| {name} against it | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    args = arguments()
    torch.set_num_threads(1)
    notices = []
    measures = metrics.load(args.metrics, notices)
    for notice in notices:
        print("notice:", notice)
    subjects = Variants(args.bundle, args.decoder, args.noise, args.noise_above, args.codec)
    key = ("checkpoint", "stages", "clip", "variant", "above")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    kept = list(csv.DictReader(args.out.open())) if args.out.exists() else []
    known = {tuple(r.get(k) or "0" for k in key): r for r in kept if all(r.get(m.name) for m in measures)}
    own = args.bundle / "decoder.onnx"
    stamps = {name: f"{p.name}:{int(p.stat().st_mtime)}" for name in subjects.names
              for p in [own if name == BUNDLE else args.codec or args.decoder or own]}
    rows = []
    for clip in clips.HeldOut(args.corpus).clips(args.per_speaker):
        latents = {}
        for name in subjects.names:
            wanted = (stamps[name], str(args.stages), clip.name, name, f"{args.noise_above:g}")
            if wanted not in known:
                coder = subjects.coders[name]
                if coder not in latents:
                    latents[coder] = subjects.latents(coder, clip.pcm, args.stages)
                scores = metrics.score(measures, clip, subjects.decode(name, latents[coder], len(clip.pcm)))
                known[wanted] = dict(zip(key, wanted)) | {"pitch": f"{clip.pitch:.1f}"} | {k: f"{v:.5f}" for k, v in scores.items()}
                with args.out.open("w", newline="") as out:
                    writer = csv.DictWriter(out, list(dict.fromkeys(k for r in known.values() for k in r)))
                    writer.writeheader()
                    writer.writerows(known.values())
            rows.append(known[wanted])
    print(f"{len(rows) // len(subjects.names)} clips, {args.stages} stages\n\n{table(rows, subjects.names, measures)}")


if __name__ == "__main__":
    main()
