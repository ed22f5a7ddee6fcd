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

# How much a count of the prompt weighs beside one of the training: what makes the voice the speaker's.
PROMPT_SHARE = 0.5
# Contexts are as trustworthy as they are frequent: classes of frequency, by powers of two.
CLASSES = 16


def frequency(total):
    return np.minimum(np.log2(np.maximum(total, 1)).astype(int), CLASSES - 1)


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

    def of_all(self, contexts, codes, size):
        """For arrays of contexts and codes: how often the code follows, and how often anything does."""
        if not len(self.keys):
            return np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
        keys = contexts * size + codes
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        before = np.concatenate([[0], np.cumsum(self.counts)])
        lo, hi = np.searchsorted(self.keys, contexts * size), np.searchsorted(self.keys, (contexts + 1) * size)
        return np.where(self.keys[at] == keys, self.counts[at], 0), before[hi] - before[lo]


class NGram:
    """Each code of a frame from the code before it in time and the one that it refines. Longer contexts are mixed with
    shorter ones by weights that a held-out part has given, for each codebook its own since the fine ones can hardly be
    foretold (Jelinek and Mercer, "Interpolated estimation of Markov source parameters from sparse data", 1980)."""

    ORDERS = 3

    def __init__(self, codebooks, groups, size, tables=None, weights=None):
        self.codebooks, self.groups, self.size = codebooks, groups, size
        self.tables = tables or [Counts() for _ in range(self.ORDERS)]
        self.weights = np.zeros((self.ORDERS, codebooks, CLASSES)) if weights is None else weights

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

    def count(self, recordings):
        """Counts of recordings [T, K]."""
        parts = [[] for _ in range(self.ORDERS)]
        for codes in recordings:
            for part, contexts in zip(parts, self.contexts(codes)):
                part.append((contexts.ravel(), codes.ravel()))
        return [Counts.of(np.concatenate([c for c, _ in part]), np.concatenate([x for _, x in part]), self.size)
                for part in parts]

    def train(self, recordings):
        """recordings: arrays [K, T]. Weights come from every eighth, or of few from the last eighth of each, which flatters
        them since the speakers are known; counts come from all."""
        recordings = [self.rows(codes) for codes in recordings]
        if len(recordings) >= 16:
            held_out, learnt = recordings[::8], [codes for n, codes in enumerate(recordings) if n % 8]
        else:
            held_out = [codes[len(codes) * 7 // 8:] for codes in recordings]
            learnt = [codes[:len(codes) * 7 // 8] for codes in recordings]
        self.tables = self.count(learnt)
        codes = np.concatenate([c.ravel() for c in held_out])
        book = np.concatenate([self.contexts(c)[0].ravel() for c in held_out])
        classes = self.codebooks * CLASSES
        lower = np.full(len(codes), 1 / self.size)
        for n, table in enumerate(self.tables):
            contexts = np.concatenate([self.contexts(c)[n].ravel() for c in held_out])
            count, total = table.of_all(contexts, codes, self.size)
            p, kind = count / np.maximum(total, 1), book * CLASSES + frequency(total)
            weight = np.full(classes, 0.5)
            for _ in range(30):
                share = weight[kind] * p / (weight[kind] * p + (1 - weight[kind]) * lower)
                seen = total > 0
                hits, all_ = np.bincount(kind[seen], share[seen], classes), np.bincount(kind[seen], minlength=classes)
                weight = np.where(all_ > 0, hits / np.maximum(all_, 1), 0)
            # A class that was never held out is as good as the one below it.
            for c in range(classes):
                if c % CLASSES and all_[c] == 0:
                    weight[c] = weight[c - 1]
            # Never all: what the held-out part has not shown may come all the same.
            weight = np.minimum(weight, 0.99)
            self.weights[n] = weight.reshape(self.codebooks, CLASSES)
            lower = np.where(total > 0, weight[kind] * p + (1 - weight[kind]) * lower, lower)
        self.tables = self.count(recordings)
        return self

    def rows(self, codes):
        return np.ascontiguousarray(codes[:self.codebooks].T).astype(np.int64)

    def prompt(self, codes):
        """The counts of a prompt [K, T], for `mixed`."""
        return self.count([self.rows(codes)])

    def distribution(self, contexts, tables=None, p=None, share=1.0):
        """Probability of each code after the contexts of one place, shortest first."""
        p, book = np.full(self.size, 1 / self.size) if p is None else p.copy(), int(contexts[0])
        for n, (table, context) in enumerate(zip(tables or self.tables, contexts)):
            codes, counts = table.after(int(context), self.size)
            total = counts.sum()
            if total:
                weight = share * self.weights[n][book, frequency(total)]
                p *= 1 - weight
                p[codes] += weight * counts / total
        return p

    def mixed(self, contexts, prompt=None):
        """The same with what a prompt has shown."""
        p = self.distribution(contexts)
        return p if prompt is None else self.distribution(contexts, prompt, p, PROMPT_SHARE)

    def bits(self, codes, prompt=None):
        """Mean bits a code of a recording [K, T]."""
        codes = self.rows(codes)
        contexts = self.contexts(codes)
        total = 0.0
        for t in range(len(codes)):
            for k in range(self.codebooks):
                p = self.mixed([c[t, k] for c in contexts], prompt)
                total -= np.log2(p[codes[t, k]])
        return total / codes.size

    def frames(self, prompt_codes, rng, temperature=0.8):
        """Goes on from a prompt [K, T] without end, a frame [K] at a time."""
        prompt, last = self.prompt(prompt_codes), self.rows(prompt_codes)[-2:]
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
        np.savez_compressed(path, shape=np.array([self.codebooks, self.groups, self.size]),
                            weights=self.weights, **arrays)

    @classmethod
    def load(cls, path):
        with np.load(path, allow_pickle=False) as data:
            tables = [Counts(data[f"keys{n}"], data[f"counts{n}"]) for n in range(cls.ORDERS)]
            return cls(*(int(n) for n in data["shape"]), tables, data["weights"])


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
    lm = NGram(encoder.codes_per_frame, encoder.groups, encoder.codebook_size).train(recordings)
    lm.save(args.out)
    frames = sum(r.shape[1] for r in recordings)
    print(f"{len(recordings)} recordings, {frames / encoder.frame_rate / 60:.1f} min, "
          f"{len(lm.tables[-1].keys)} longest contexts")


def measure(args):
    lm = NGram.load(args.lm)
    for path in token_files(args.tokens):
        codes = siskin.load(path)[0]
        half = codes.shape[1] // 2
        prompt = lm.prompt(codes[:, :half])
        print(f"{path}: {lm.bits(codes[:, half:]):.3f} bits a code, {lm.bits(codes[:, half:], prompt):.3f} with the first "
              f"half as prompt, {np.log2(lm.size):.3f} without a model")


def go_on(args):
    lm = NGram.load(args.lm)
    prompt, meta = siskin.load(args.prompt)
    if prompt.shape[0] < lm.codebooks:
        sys.exit(f"ngram: the prompt has {prompt.shape[0]} codebooks, the model needs {lm.codebooks}")
    model = args.model or meta.get("model") or "speech-24k"
    # The model writes a row of codes a frame; one with delays would name its layout here.
    stream = siskin.TokenStream("parallel", stages=lm.codebooks // lm.groups, model=model)
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
