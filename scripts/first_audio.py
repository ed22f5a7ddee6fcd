#!/usr/bin/env python3
"""How long `siskin speak` takes to its first sound on one core, in ms: from the sentence on with the voice loaded, and from
the start of the program to the first samples in a pipe.

  scripts/first_audio.py target/release/siskin [--engine wavthruvec] [--repeat 10]

Leaves with an error if any time from the sentence on is over --limit.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

SENTENCES = {
    "two words": "Guten Tag.",
    "twelve words": "Im Winter fahren wir gern in die Berge, wenn dort Schnee liegt.",
    "the longest sentence (300 letters)": "Nachdem der alte Fischer am frühen Morgen seine Netze geflickt hatte ging er hinunter "
    "zum Hafen und sprach lange mit den Männern die dort auf den ersten Wind des Tages warteten weil sie noch vor dem "
    "Abend auf der anderen Seite der Bucht sein wollten wo man ihnen einen guten Preis für die Fische zahlt",
}
HEADER, FRAME = 44, 960


def one_core():
    os.sched_setaffinity(0, {0})


def speak(program, engine, output, text, *options):
    return [program, "speak", "-y", "-q", "--engine", engine, "--language", "de", "-o", output, *options, "--", text]


def in_the_program(command):
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True, preexec_fn=one_core).stdout
    return json.loads(out.splitlines()[-1])["first_audio_seconds"]


def to_the_pipe(command):
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=one_core)
    process.stdout.read(HEADER + FRAME)
    took = time.perf_counter() - begun
    process.stdout.read()
    if process.wait() != 0:
        sys.exit(f"{' '.join(command)}: status {process.returncode}")
    return took


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--engine", default="wavthruvec")
    p.add_argument("--repeat", type=int, default=10)
    p.add_argument("--limit", type=float, default=200, help="ms")
    args = p.parse_args()
    program, worst = os.path.abspath(args.program), 0.0
    folder = tempfile.TemporaryDirectory()
    wav = os.path.join(folder.name, "a.wav")
    print("| sentence | from the sentence on: median, worst | from the program's start: median, worst |\n|---|---|---|")
    for name, text in SENTENCES.items():
        inside = [1000 * in_the_program(speak(program, args.engine, wav, text, "--json")) for _ in range(args.repeat)]
        outside = [1000 * to_the_pipe(speak(program, args.engine, "-", text)) for _ in range(args.repeat)]
        worst = max(worst, *inside)
        print(f"| {name} | " + " | ".join(f"{statistics.median(t):.0f} ms, {max(t):.0f} ms" for t in (inside, outside)) + " |")
    if worst > args.limit:
        sys.exit(f"{worst:.0f} ms is over {args.limit:.0f} ms")


if __name__ == "__main__":
    main()
