#!/usr/bin/env python3
"""Cost of a ten-minute recording on one core: CPU time, share of the recording's length, peak memory, size.

  scripts/ten_minutes.py target/release/siskin
"""
import glob
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 600
ROOT = Path(__file__).resolve().parent.parent


def run(*command):
    """Runs a command on one core; its user CPU seconds and its peak memory in MB."""
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)}: status {status}")
    return used.ru_utime, used.ru_maxrss / 1000


def main():
    siskin = os.path.abspath(sys.argv[1])
    clips = sorted(glob.glob(str(ROOT / "testdata/clips/speech-*.flac")))
    with tempfile.TemporaryDirectory() as folder:
        wav, mka, raw = (str(Path(folder) / n) for n in ("a.wav", "a.mka", "a.f32"))
        inputs = [part for clip in clips for part in ("-i", clip)]
        join = f"concat=n={len(clips)}:v=0:a=1,aloop=-1:size={24000 * 38},atrim=end_sample={24000 * SECONDS}"
        resample = "".join(f"[{i}]aresample=24000[s{i}];" for i in range(len(clips)))
        graph = resample + "".join(f"[s{i}]" for i in range(len(clips))) + join
        subprocess.run(["ffmpeg", "-v", "error", *inputs, "-filter_complex", graph, wav], check=True)
        print(f"| {SECONDS} s of speech, 24 kHz, one core | user CPU s | of its length | peak memory MB |")
        print("|---|---|---|---|")
        for name, command in (("encode at 6 kb/s", ("encode", "-q", "-y", wav, mka)),
                              ("decode", ("decode", "-q", "-y", mka, raw))):
            cpu, memory = run(siskin, *command)
            print(f"| {name} | {cpu:.1f} | 1/{SECONDS / cpu:.0f} | {memory:.0f} |")
        samples, size = os.path.getsize(raw) // 4, os.path.getsize(mka)
        print(f"\nfile: {size} bytes, {size * 8 / SECONDS / 1000:.2f} kb/s; decoded: {samples} samples")
        if samples != 24000 * SECONDS:
            sys.exit(f"{24000 * SECONDS} samples went in")


if __name__ == "__main__":
    main()
