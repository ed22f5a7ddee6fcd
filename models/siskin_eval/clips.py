"""What is coded and scored: clips of a folder, or of the speakers that training never hears, clean and with noise."""
import csv
import hashlib
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from . import spectral

RATE = 24000
AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3")
# Language of the held-out speakers; what a row does not name is not known.
LANGUAGES = {
    "asterisk-core-sounds-fr-g722": "fr", "asterisk-core-sounds-it-g722": "it", "kajongg/de-male2": "de",
    "kajongg/de-female2": "de", "kokoro": "en", "tuxpaint-stamps-default/be": "be", "tuxpaint-stamps-default/el": "el",
}
PAUSE = 0.3  # seconds
SNRS = (5, 10, 15, 20)


@dataclass(frozen=True)
class Clip:
    """One recording: mono float32 samples at 24 kHz in -1..1."""

    name: str
    speaker: str
    language: str
    condition: str
    pcm: np.ndarray
    text: str = ""

    @cached_property
    def key(self):
        """What a stored score is filed under: the samples themselves."""
        return hashlib.sha256(np.ascontiguousarray(self.pcm, "<f4").tobytes()).hexdigest()[:24]

    @cached_property
    def pitch(self):
        """Median pitch in Hz; nan where nothing is voiced."""
        return spectral.pitch(self.pcm)

    @property
    def seconds(self):
        return len(self.pcm) / RATE


def from_folder(folder, seconds=12.0, notices=None):
    """Every audio file below a folder, its first `seconds`.

    A speaker is a sub-folder, or what stands before the first '-' of the name. A `metadata.csv` (id|voice|language|text
    or id|text) gives language and text.
    """
    folder, found = Path(folder), []
    known = metadata(folder)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO):
        try:
            pcm = read(path)[: int(seconds * RATE)]
        except sf.LibsndfileError as error:
            if notices is not None:
                notices.append(f"clip {path} left out: {error}")
            continue
        if len(pcm) < RATE // 2 or np.abs(pcm).max() < 1e-3:
            if notices is not None:
                notices.append(f"clip {path} left out: shorter than half a second or silent")
            continue
        name = path.relative_to(folder).as_posix()
        row = known.get(path.stem, {})
        speaker = row.get("voice") or (path.parent.name if path.parent != folder else path.stem.split("-")[0])
        found.append(Clip(name, speaker, row.get("language", ""), "clean", pcm, row.get("text", "")))
    if not found:
        raise SystemExit(f"no clips in {folder}: it needs {', '.join(AUDIO)} of half a second or more")
    return found


def metadata(folder):
    path = folder / "metadata.csv"
    if not path.exists():
        return {}
    rows = list(csv.reader(path.open(encoding="utf-8"), delimiter="|", quoting=csv.QUOTE_NONE))
    names = {2: ("id", "text"), 4: ("id", "voice", "language", "text")}
    return {r[0]: dict(zip(names[len(r)], r)) for r in rows if len(r) in names}


def read(path):
    audio, rate = sf.read(path, dtype="float32", always_2d=True)
    audio = audio.mean(1)
    if rate != RATE:
        g = math.gcd(rate, RATE)
        audio = resample_poly(audio, RATE // g, rate // g).astype(np.float32)
    return np.clip(audio, -1, 1)


class HeldOut:
    """The test split of the corpus cache that `models/data/fetch.py` builds. None of its speakers is in training."""

    def __init__(self, corpus):
        corpus = Path(corpus)
        if not (corpus / "index.json").exists():
            raise SystemExit(f"no corpus in {corpus}: run models/data/fetch.py, or name a folder with --clips")
        self.samples = np.memmap(corpus / "corpus.i16", "<i2", "r")
        rows = json.loads((corpus / "index.json").read_text())
        self.rows = [r for r in rows if r["split"] == "test"]
        trained = {(r["source"], r["speaker"]) for r in rows if r["split"] == "train"}
        shared = {(r["source"], r["speaker"]) for r in self.rows} & trained
        if shared:
            raise SystemExit(f"speakers of the test split are in training: {sorted(shared)}")

    def pcm(self, row):
        return self.samples[row["offset"]: row["offset"] + row["samples"]].astype(np.float32) / 32768

    def clips(self, per_speaker, seconds=5.0):
        """Clips of 5 to 8 s; short recordings of a speaker are joined. The choice is the same at every run.

        A pause lies between them: PESQ aligns utterance by utterance, and of words without one it may align none.
        """
        rng, groups, found = np.random.default_rng(7), {}, []
        for row in self.rows:
            if row["kind"] == "speech":
                groups.setdefault(f"{row['source']}/{row['speaker']}", []).append(row)
        for who, rows in sorted(groups.items()):
            parts, count = [], 0
            for i in rng.permutation(len(rows)):
                if parts:
                    parts.append(np.zeros(int(PAUSE * RATE), np.float32))
                parts.append(self.pcm(rows[i]))
                if sum(map(len, parts)) >= seconds * RATE and count < per_speaker:
                    pcm = np.concatenate(parts)[: int(1.6 * seconds * RATE)]
                    language = LANGUAGES.get(who) or LANGUAGES.get(who.split("/")[0], "")
                    found.append(Clip(f"{who}/{count}", who, language, "clean", pcm))
                    count, parts = count + 1, []
        return found

    def music(self):
        """Recordings of music that training never hears."""
        return [self.pcm(r) for r in self.rows if r["kind"] == "music"]


def with_noise(clips, music=()):
    """The same clips with music or coloured noise behind the speech at 5 to 20 dB; the same at every run."""
    out = []
    for i, clip in enumerate(clips):
        rng = np.random.default_rng(1000 + i)
        if music and i % 2:
            source = music[i // 2 % len(music)]
            start = int(rng.integers(0, max(1, len(source) - len(clip.pcm))))
            other, kind = np.resize(source[start:], len(clip.pcm)), "music"
        else:
            other, kind = coloured(rng, len(clip.pcm)), "noise"
        snr = SNRS[i // 2 % len(SNRS)]
        gain = 10 ** (-snr / 20) * rms(clip.pcm) / (rms(other) + 1e-9)
        mixed = clip.pcm + gain * other
        mixed = (mixed / max(1.0, np.abs(mixed).max() / 0.98)).astype(np.float32)
        out.append(replace(clip, name=f"{clip.name}+{kind}{snr}", condition="noisy", pcm=mixed))
    return out


def overlapping(clips):
    """Each of the clips with the next speaker talking at the same time, 3 dB softer."""
    out = []
    for clip, other in zip(clips, clips[1:] + clips[:1]):
        second = np.resize(other.pcm, len(clip.pcm))
        mixed = clip.pcm + 10 ** (-3 / 20) * rms(clip.pcm) / (rms(second) + 1e-9) * second
        mixed = (mixed / max(1.0, np.abs(mixed).max() / 0.98)).astype(np.float32)
        out.append(replace(clip, name=f"{clip.name}+{other.speaker}", condition="overlap", pcm=mixed, text=""))
    return out


def at_peak(clips, peak, condition):
    """The same clips with their peaks at `peak` dB of full scale."""
    return [replace(c, name=f"{c.name}{peak:+g}dB", condition=condition,
                    pcm=(c.pcm * (10 ** (peak / 20) / (np.abs(c.pcm).max() + 1e-9))).astype(np.float32)) for c in clips]


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def coloured(rng, length):
    """Noise whose slope lies between white and brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.arange(1, len(spectrum) + 1) ** -rng.uniform(0, 1)
    return np.fft.irfft(spectrum, length).astype(np.float32)


def describe(clips):
    """One sentence: how many clips, how long, whose, in which languages."""
    languages = sorted({c.language for c in clips if c.language})
    known = f", languages {', '.join(languages)}" if languages else ""
    return (f"{len(clips)} clips, {sum(c.seconds for c in clips) / 60:.1f} minutes, "
            f"{len({c.speaker for c in clips})} speakers or groups{known}")
