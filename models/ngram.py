"""A small language model over codec tokens: counts of a few codes in a row, through the wheel `siskin` (`./x wheel`).

It stands where a large model would: it learns from token files or the corpus, takes a speaker prompt as codes out of a
file, goes on from it code by code, and hands its tokens to a TokenStream, which gives sound as soon as a frame is whole.

  python models/ngram.py train --corpus .siskin/corpus --minutes 20 --out lm.npz
  python models/ngram.py measure --lm lm.npz clip.flac.safetensors ...
  siskin tokens export speaker.wav prompt.safetensors
  python models/ngram.py continue --lm lm.npz --prompt prompt.safetensors --seconds 4 --out more.wav
"""
import argparse
import json
import sys
import wave
from pathlib import Path

import numpy as np
import siskin

# How much the counts of the prompt weigh beside those of the training: what makes the voice the speaker's.
PROMPT_SHARE = 0.3


class Counts:
    """How often a code follows a context of given codes; contexts and codes are packed into one integer."""

    def __init__(self, keys=None, counts=None):
        self.keys = np.zeros(0, np.int64) if keys is None else keys
        self.counts = np.zeros(0, np.int64) if counts is None else counts

    @classmethod
    def of(cls, contexts, codes, size):
        keys, counts = np.unique(contexts * size + codes, return_counts=True)
        return cls(keys, counts)

    def after(self, context, size):
        """Codes seen after a context and how often."""
        lo, hi = np.searchsorted(self.keys, [context * size, (context + 1) * size])
        return self.keys[lo:hi] - context * size, self.counts[lo:hi]


class NGram:
    """Each code of a frame from the code before it in time and the one that it refines, with shorter contexts where these
    are rare (Witten and Bell, "The zero-frequency problem", 1991, method C, interpolated)."""

    ORDERS = 3

    def __init__(self, codebooks, groups, size, tables=None):
        self.codebooks, self.groups, self.size = codebooks, groups, size
        self.tables = tables or [Counts() for _ in range(self.ORDERS)]

    def contexts(self, codes):
        """[order][T, K] contexts, shortest first: the codebook; with the code beside; with the one before too."""
        k = np.arange(self.codebooks, dtype=np.int64)[None]
        blank = self.size
        before = np.full_like(codes, blank)
        before[1:] = codes[:-1]
        beside = np.full_like(codes, blank)
        beside[2:, :self.groups] = codes[:-2, :self.groups]
        beside[:, self.groups:] = codes[:, :-self.groups]
        first, second = np.where(k < self.groups, before, beside), np.where(k < self.groups, beside, before)
        wide = self.size + 1
        one = np.broadcast_to(k, codes.shape)
        return [one, one * wide + first, (one * wide + first) * wide + second]

    def train(self, recordings):
        """recordings: arrays [K, T]."""
        parts = [[] for _ in range(self.ORDERS)]
        for codes in recordings:
            codes = np.ascontiguousarray(codes[:self.codebooks].T).astype(np.int64)
            for part, contexts in zip(parts, self.contexts(codes)):
                part.append((contexts.ravel(), codes.ravel()))
        self.tables = [Counts.of(np.concatenate([c for c, _ in part]), np.concatenate([x for _, x in part]), self.size)
                       for part in parts]
        return self

    def distribution(self, contexts):
        """Probability of each code after the contexts of one place, shortest first."""
        p = np.full(self.size, 1 / self.size)
        for table, context in zip(self.tables, contexts):
            codes, counts = table.after(int(context), self.size)
            total, kinds = counts.sum(), len(counts)
            if total:
                p *= kinds / (total + kinds)
                p[codes] += counts / (total + kinds)
        return p

    def bits(self, codes, prompt=None):
        """Mean bits a code of a recording [K, T]."""
        codes = np.ascontiguousarray(codes[:self.codebooks].T).astype(np.int64)
        contexts = self.contexts(codes)
        total = 0.0
        for t in range(len(codes)):
            for k in range(self.codebooks):
                p = self.mixed([c[t, k] for c in contexts], prompt)
                total -= np.log2(p[codes[t, k]])
        return total / codes.size

    def mixed(self, contexts, prompt):
        p = self.distribution(contexts)
        return p if prompt is None else (1 - PROMPT_SHARE) * p + PROMPT_SHARE * prompt.distribution(contexts)

    def frames(self, prompt_codes, rng, temperature=0.8):
        """Goes on from a prompt [K, T] without end, a frame [K] at a time."""
        codes = np.ascontiguousarray(prompt_codes[:self.codebooks].T).astype(np.int64)
        prompt = NGram(self.codebooks, self.groups, self.size).train([prompt_codes])
        last = codes[-2:]
        while True:
            frame = np.zeros((1, self.codebooks), np.int64)
            window = np.concatenate([last, frame])
            for k in range(self.codebooks):
                p = self.mixed([c[-1, k] for c in self.contexts(window)], prompt)
                p = p ** (1 / temperature)
                window[-1, k] = rng.choice(self.size, p=p / p.sum())
            last = window[-2:]
            yield window[-1].copy()

    def save(self, path):
        arrays = {f"{name}{n}": getattr(t, name) for n, t in enumerate(self.tables) for name in ("keys", "counts")}
        np.savez_compressed(path, shape=np.array([self.codebooks, self.groups, self.size]), **arrays)

    @classmethod
    def load(cls, path):
        with np.load(path, allow_pickle=False) as data:
            tables = [Counts(data[f"keys{n}"], data[f"counts{n}"]) for n in range(cls.ORDERS)]
            return cls(*(int(n) for n in data["shape"]), tables)


def token_files(paths):
    for path in map(Path, paths):
        found = sorted(p for p in path.rglob("*") if p.suffix in (".safetensors", ".npy")) if path.is_dir() else [path]
        yield from found


def of_corpus(folder, minutes, encoder, seed=0):
    """Codes of random recordings of the corpus' training part."""
    folder, rng = Path(folder), np.random.default_rng(seed)
    samples = np.memmap(folder / "corpus.i16", "<i2", "r")
    rows = json.loads((folder / "index.json").read_text())
    rows = [r for r in rows if r["split"] == "train" and r["kind"] == "speech"]
    left = minutes * 60 * encoder.sample_rate
    for n in rng.permutation(len(rows)):
        if left <= 0:
            return
        row = rows[n]
        pcm = samples[row["offset"]:row["offset"] + min(row["samples"], 30 * encoder.sample_rate)]
        left -= len(pcm)
        yield encoder.encode(pcm.astype(np.float32) / 32768)


def train(args):
    encoder = siskin.Encoder(args.model, stages=args.stages)
    recordings = [siskin.load(p)[0] for p in token_files(args.tokens)]
    if args.corpus:
        recordings += list(of_corpus(args.corpus, args.minutes, encoder))
    if not recordings:
        sys.exit("ngram: nothing to learn from: name token files or --corpus")
    lm = NGram(encoder.codebooks, encoder.groups, encoder.codebook_size).train(recordings)
    lm.save(args.out)
    frames = sum(r.shape[1] for r in recordings)
    print(f"{len(recordings)} recordings, {frames / encoder.frame_rate / 60:.1f} min, "
          f"{len(lm.tables[-1].keys)} longest contexts")


def measure(args):
    lm = NGram.load(args.lm)
    for path in token_files(args.tokens):
        codes = siskin.load(path)[0]
        half = codes.shape[1] // 2
        prompt = NGram(lm.codebooks, lm.groups, lm.size).train([codes[:, :half]])
        print(f"{path}: {lm.bits(codes[:, half:]):.3f} bits a code, {lm.bits(codes[:, half:], prompt):.3f} with the first "
              f"half as prompt, {np.log2(lm.size):.3f} without a model")


def go_on(args):
    lm = NGram.load(args.lm)
    prompt, meta = siskin.load(args.prompt)
    if prompt.shape[0] < lm.codebooks:
        sys.exit(f"ngram: the prompt has {prompt.shape[0]} codebooks, the model needs {lm.codebooks}")
    model = args.model or meta.get("model") or "speech-24k"
    # The model writes a row of codes a frame; one with delays would name its layout here.
    stream = siskin.TokenStream("parallel", codebooks=lm.codebooks, model=model)
    frames, count = [], int(args.seconds * meta["frame_rate"])
    with wave.open(args.out, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(stream.sample_rate)

        def play(pcm):
            out.writeframes((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())

        # The decoder hears the prompt first, so that the voice goes on without a seam; its sound is not kept.
        stream.push(siskin.pack(prompt[:lm.codebooks, -50:], "parallel", lm.size, marked=False))
        for frame, _ in zip(lm.frames(prompt, np.random.default_rng(args.seed), args.temperature), range(count)):
            frames.append(frame)
            play(stream.push(frame))
    if args.codes:
        siskin.save(args.codes, np.stack(frames, 1), {"speaker": meta.get("speaker") or meta.get("id")}, model=model)
    print(f"{len(frames)} frames, {stream.progress()['lost']} lost")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    p = verbs.add_parser("train")
    p.add_argument("tokens", nargs="*", help="token files or folders of them")
    p.add_argument("--corpus", help="folder that models/data/fetch.py has made")
    p.add_argument("--minutes", type=float, default=20)
    p.add_argument("--stages", type=int, help="residual stages; the bundle's default")
    p.add_argument("--model", default="speech-24k")
    p.add_argument("--out", required=True)
    p.set_defaults(run=train)
    p = verbs.add_parser("measure")
    p.add_argument("tokens", nargs="+")
    p.add_argument("--lm", required=True)
    p.set_defaults(run=measure)
    p = verbs.add_parser("continue")
    p.add_argument("--lm", required=True)
    p.add_argument("--prompt", required=True, help="token file of the speaker")
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--temperature", type=float, default=0.8)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--model")
    p.add_argument("--codes", help="token file for what was generated")
    p.add_argument("--out", required=True, help="WAV file")
    p.set_defaults(run=go_on)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
