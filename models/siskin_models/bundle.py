"""Runs a model bundle frame by frame with ONNX Runtime and NumPy alone: the reference for other runtimes."""
import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from safetensors.numpy import load_file


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def bundle_hash(files):
    """The hash of files by name and SHA-256, as docs/model-bundle.md defines it."""
    return hashlib.sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode()).hexdigest()


class Stream:
    """One direction of a stream: a graph and its states."""

    def __init__(self, session, spec):
        self.session, self.spec = session, spec
        self.names = [spec["output"]] + [s["output"] for s in spec["states"]]
        self.reset()

    def reset(self):
        self.states = {s["name"]: np.zeros(s["shape"], np.float32) for s in self.spec["states"]}

    def snapshot(self):
        return dict(self.states)

    def restore(self, states):
        self.states = dict(states)

    def step(self, frame):
        out = self.session.run(self.names, {self.spec["input"]: frame, **self.states})
        self.states = {s["name"]: v for s, v in zip(self.spec["states"], out[1:])}
        return out[0]


class Bundle:
    def __init__(self, folder, threads=1):
        self.folder = Path(folder)
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.sessions = {
            part: ort.InferenceSession(str(self.folder / self.manifest[part]["file"]), options,
                                       providers=["CPUExecutionProvider"])
            for part in ("encoder", "decoder")}
        quantizer = self.manifest["quantizer"]
        self.books = load_file(self.folder / quantizer["file"])["codebooks"].astype(np.float32)
        self.half_norms = 0.5 * np.square(self.books).sum(-1)
        self.hop, self.delay = self.manifest["hop"], self.manifest["delay"]

    def stream(self, part):
        return Stream(self.sessions[part], self.manifest[part])

    def latents(self, pcm):
        """pcm [samples] or [channels, samples], a multiple of hop -> latents [T, D]."""
        stream = self.stream("encoder")
        frames = np.atleast_2d(pcm).reshape(self.manifest["channels"], -1, self.hop).transpose(1, 0, 2)
        return np.stack([stream.step(np.ascontiguousarray(f[None]))[0, :, 0] for f in frames])

    def search(self, latents):
        """Greedy nearest entries, [T, D] -> codes [T, stages * groups], stage-major."""
        groups = self.books.shape[1]
        residual, codes = np.split(latents, groups, 1), []
        for books, halves in zip(self.books, self.half_norms):
            for group, (book, half) in enumerate(zip(books, halves)):
                codes.append((half[None] - residual[group] @ book.T).argmin(1))
                residual[group] = residual[group] - book[codes[-1]]
        return np.stack(codes, 1)

    def lookup(self, codes, stages):
        groups = self.books.shape[1]
        return np.concatenate([sum(self.books[s, g][codes[:, s * groups + g]] for s in range(stages))
                               for g in range(groups)], 1)

    def synthesise(self, latents):
        """latents [T, D] -> pcm [T * hop], or [channels, T * hop] of more than one, late by `delay` samples."""
        stream = self.stream("decoder")
        pcm = np.concatenate([stream.step(z[None, :, None].astype(np.float32))[0] for z in latents], -1)
        return pcm[0] if len(pcm) == 1 else pcm

    def roundtrip(self, pcm, stages_list):
        """Code one clip and decode it with each number of stages; every output aligned with the input."""
        size = pcm.shape[-1]
        pad = -(size + self.delay) % self.hop
        codes = self.search(self.latents(np.pad(pcm, [(0, 0)] * (pcm.ndim - 1) + [(0, self.delay + pad)]).astype(np.float32)))
        return {n: self.synthesise(self.lookup(codes, n))[..., self.delay: self.delay + size] for n in stages_list}
