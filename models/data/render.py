"""Lossless music in stereo for training: scores of `music21`, each part with an instrument of its own, played by fluidsynth.

  apt-get install fluidsynth fluid-soundfont-gm && pip install music21==9.9.1
  python models/data/render.py --out .siskin/renders
"""
import argparse
import random
import subprocess
from pathlib import Path

from music21 import converter, corpus, instrument

# Scores of each collection.
WANTED = {"bach": 40, "ryansMammoth": 40, "beethoven": 26, "mozart": 16, "monteverdi": 12, "palestrina": 10, "haydn": 9,
          "schumann_robert": 7, "schumann_clara": 5, "josquin": 4, "oneills1850": 4, "airdsAirs": 3, "beach": 1, "chopin": 1,
          "corelli": 1, "cpebach": 1, "handel": 1, "joplin": 1, "schubert": 1, "verdi": 1, "weber": 1}
# General MIDI: keys, mallets, organs, guitars, basses, strings, voices, brass, reeds, pipes, leads, others.
PROGRAMS = [0, 0, 0, 1, 4, 6, 7, 9, 11, 12, 14, 16, 19, 21, 22, 24, 24, 25, 27, 29, 30, 32, 33, 38, 40, 40, 41, 42, 43, 45, 46, 48,
            49, 52, 54, 56, 57, 60, 61, 65, 66, 68, 70, 71, 73, 73, 74, 75, 80, 81, 88, 90, 104, 105, 108, 110, 114]


def render(score, midi, out, rng, font):
    parts = list(score.parts)[:12] or [score]
    ensemble = [rng.choice(PROGRAMS) for _ in range(3)]
    for part in parts:
        for old in list(part.recurse().getElementsByClass("Instrument")):
            old.activeSite.remove(old)
        played = instrument.Instrument()
        played.midiProgram = rng.choice(ensemble)
        part.insert(0, played)
    score.write("midi", fp=str(midi))
    # A note that is never let go would be played for ever.
    subprocess.run(["fluidsynth", "-q", "-ni", "-g", f"{rng.uniform(0.3, 0.9):.2f}", "-r", "48000", "-O", "s16", "-T", "flac",
                    "-F", str(out), str(font), str(midi)], check=True, timeout=15, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".siskin/renders"))
    parser.add_argument("--font", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    paths = sorted(str(p) for p in corpus.getCorePaths())
    for name, count in WANTED.items():
        own = [p for p in paths if f"/corpus/{name}/" in p]
        for path in random.Random(name).sample(own, min(count, len(own))):
            out = args.out / f"{name}-{Path(path).stem.replace(' ', '_')}.flac"
            if out.exists():
                continue
            try:
                score = converter.parse(path)
                score = score.scores[0] if getattr(score, "scores", None) else score
                render(score, out.with_suffix(".mid"), out, random.Random(out.stem), args.font)
            except Exception as error:  # one of many scores; music21 raises whatever it meets
                out.unlink(missing_ok=True)
                print(f"left out: {out.stem}: {type(error).__name__}", flush=True)


if __name__ == "__main__":
    main()
