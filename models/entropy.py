"""Make the tables with which a bundle's packets are range coded, and write them into the bundle.

Encodes speech of the corpus with the bundle, fits a small network to each codebook, rounds it to integers and adds
`entropy.safetensors` to the manifest; the bundle's id changes with it. The same command gives the same tables.

  python models/entropy.py --bundle models/bundles/speech-24k
  python models/entropy.py --bundle models/bundles/audio-48k --corpus .siskin/general --minutes 30 --steps 1200 --hidden 48 48 32 0
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from siskin_models import entropy
from siskin_models.bundle import Bundle, sha256
from siskin_models.data import Corpus
from siskin_models.general import GeneralCorpus

FILE = "entropy.safetensors"
SECONDS = 6
# Hidden units of a codebook by its stage: the first stages gain most.
HIDDEN = (128, 96, 96, 64, 64, 64, 48)

# Shares of the learned logits that are tried on unseen speakers.
TRUST = (1, 0.85, 0.7, 0.55, 0.4)


def clips(corpus, count, rate, rng, level):
    """[count, samples]: recordings of a speaker joined, speakers by the square root of their length."""
    speakers = {}
    for row in corpus.rows:
        if row["kind"] == "speech":
            speakers.setdefault((row["source"], row["speaker"]), []).append(row)
    names = sorted(speakers)
    weights = np.sqrt([sum(r["samples"] for r in speakers[n]) for n in names])
    out = np.zeros((count, SECONDS * rate), np.float32)
    for clip in out:
        rows, at = speakers[names[rng.choice(len(names), p=weights / weights.sum())]], 0
        while at < len(clip):
            part = corpus.clip(rows[rng.integers(len(rows))])[:len(clip) - at]
            clip[at:at + len(part)] = part
            at += len(part)
        if level:
            clip *= 10 ** (rng.uniform(-20, 0) / 20) / (np.abs(clip).max() + 1e-6)
    return out


def stereo_clips(corpus, count, rate, rng):
    """[count, 2, samples] of the mixture that the codec was trained on."""
    return np.concatenate([corpus.batch(rng, 1, SECONDS * rate).numpy() for _ in range(count)])


def code(bundle, pcm, width):
    """Codes [clips, frames, stages * groups] of clips."""
    latents = torch.from_numpy(np.stack([bundle.latents(clip) for clip in pcm]))
    codes = entropy.search(latents.flatten(0, 1), torch.from_numpy(bundle.books), width)
    return codes.reshape(*latents.shape[:2], -1)


def use(codes, size):
    """How evenly the entries of each codebook are used: perplexity of its codes over its size, 0 to 1."""
    shares = []
    for column in codes.flatten(0, -2).T:
        share = torch.bincount(column, minlength=size) / len(column)
        shares.append(float(torch.exp(-torch.xlogy(share, share).sum())) / size)
    return shares


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/speech-24k"))
    parser.add_argument("--corpus", type=Path, default=Path(".siskin/corpus"))
    parser.add_argument("--minutes", type=float, default=100, help="of speech to learn from")
    parser.add_argument("--steps", type=int, default=1500, help="of training for each codebook")
    parser.add_argument("--codes", type=Path, help="file that keeps the codes, to try other settings on them")
    parser.add_argument("--width", type=int, default=4, help="of the search, as the encoder's")
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN,
                        help="hidden units of a codebook by its stage, the last for all that follow: the first stages gain most; 0 "
                        "for probabilities that stay the same")
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    rng, clock = np.random.default_rng(1), time.time()
    bundle = Bundle(args.bundle)
    rate, stages = bundle.manifest["sample_rate"], bundle.manifest["quantizer"]["stages"]
    default = bundle.manifest["default_stages"]
    if args.codes and args.codes.exists():
        # Those of more stages begin with those of fewer.
        train, test = (codes[..., : stages * bundle.books.shape[1]] for codes in torch.load(args.codes))
    else:
        count = int(args.minutes * 60 / SECONDS)
        if bundle.manifest["channels"] == 2:
            learnt, unseen = (GeneralCorpus(args.corpus, None, rate, split) for split in ("train", "test"))
            train = code(bundle, stereo_clips(learnt, count, rate, rng), args.width)
            test = code(bundle, stereo_clips(unseen, 40, rate, rng), args.width)
        else:
            train = code(bundle, clips(Corpus(args.corpus), count, rate, rng, True), args.width)
            test = code(bundle, clips(Corpus(args.corpus, "test"), 20, rate, rng, False), args.width)
        if args.codes:
            torch.save((train, test), args.codes)
    print(f"{train.shape[0] * train.shape[1]} frames coded in {time.time() - clock:.0f} s", flush=True)

    books = torch.from_numpy(bundle.books)
    used = use(train, books.shape[2])
    print(f"perplexity over size: {', '.join(f'{u:.3f}' for u in used)}; mean {np.mean(used):.3f}", flush=True)
    most = float(sum(books.square().sum(-1).sqrt().amax((1, 2))))
    input_bits = int(np.clip(np.floor(np.log2(entropy.INPUT_MAX / most)), 0, 10)) + 1
    entries = (books * 2 ** input_bits).round().clamp(-entropy.INPUT_MAX, entropy.INPUT_MAX)
    # Half of the clips at the default rate, the others at any: what earlier frames tell depends on it.
    prefixes = np.where(rng.random(len(train)) < 0.5, default, rng.integers(1, stages + 1, len(train)))
    prefixes[: max(4, len(train) // 4)] = stages
    learn = entropy.Contexts(train, entries, prefixes)
    check = entropy.Contexts(test, entries, np.full(len(test), default))
    check_high = entropy.Contexts(test, entries, np.full(len(test), stages))
    tensors, costs = {}, []
    for index in range(stages * bundle.books.shape[1]):
        stage, group = divmod(index, bundle.books.shape[1])
        inputs, codes = learn.of(index)
        known, truth = (check if stage < default else check_high).of(index)
        plain = entropy.constant(codes, books.shape[2])
        hidden, networks = args.hidden[min(stage, len(args.hidden) - 1)], []
        if hidden:
            a, a0, w, bias = entropy.fit(inputs, codes, books[stage, group], hidden, args.steps)
            # What was learned from few frames is too sure of itself on other speakers.
            networks = [entropy.integers(a, a0, w * trust, bias * trust, inputs) for trust in TRUST]
        flat = plain | {"logit_bias": np.zeros_like(plain["logit_bias"])}
        choices = [(entropy.bits(t, known, truth), t) for t in (*networks, plain, flat)]
        cost, tables = min(choices, key=lambda c: c[0])
        costs.append(cost)
        tensors |= {f"{name}.{index}": value for name, value in tables.items()}
        print(f"stage {stage} group {group}: {cost:.3f} bits, without a context {choices[len(networks)][0]:.3f}, "
              f"{time.time() - clock:.0f} s", flush=True)
    facts = {"version": "1", "input_bits": str(input_bits), "frames_before": str(entropy.FRAMES_BEFORE)}
    save_file(tensors, args.bundle / FILE, facts)
    path = args.bundle / "manifest.json"
    info = json.loads(path.read_text())
    info["entropy"] = {"file": FILE}
    info["files"][FILE] = sha256(args.bundle / FILE)
    path.write_text(json.dumps(info, indent=2) + "\n")
    width = np.log2(books.shape[2])
    for prefix in info["prefixes"]:
        count = prefix["stages"] * bundle.books.shape[1]
        print(f"{prefix['stages']} stages: {100 - 100 * sum(costs[:count]) / (count * width):.1f} % fewer bits than "
              f"at fixed width, unseen speakers")
    print(f"{FILE}: {(args.bundle / FILE).stat().st_size} bytes, {time.time() - clock:.0f} s")


if __name__ == "__main__":
    main()
