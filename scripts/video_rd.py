#!/usr/bin/env python3
"""Rate and distortion of siskin, x264 and x265 on one clip, in one run, from real files.

    scripts/video_rd.py target/release/siskin clip.mp4 --size 320x180 --frames 32 --preset fast --bpp 0.1 0.2

Every codec gets the same raw pictures. Sizes are those of the files in Matroska; PSNR and MS-SSIM are over RGB, frame by
frame, as `siskin compare` computes them.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time


def call(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


def last(text):
    return json.loads(text.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("clip")
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.1])
    parser.add_argument("--crf", type=int, nargs="+", default=[24, 30, 36, 42])
    parser.add_argument("--threads", default="2")
    parser.add_argument("--encode", nargs=argparse.REMAINDER, default=[], help="more options of siskin encode")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        raw = folder / "raw.y4m"
        scale = f"scale={width}:{height}"
        call("ffmpeg", "-v", "error", "-i", args.clip, "-frames:v", args.frames, "-vf", scale, "-pix_fmt", "yuv420p", raw)
        rows = []

        def measure(name, path, seconds):
            found = last(call(args.program, "compare", raw, path, "--json"))
            rows.append((name, found["bits_per_pixel"], found["psnr"], found["ms_ssim"], found["bytes"], seconds))

        for bpp in args.bpp:
            path = folder / "siskin.mkv"
            size = int(bpp * width * height * args.frames / 8)
            start = time.time()
            call(args.program, "encode", raw, path, "-y", "--preset", args.preset, "--size", size, "--gop-size",
                 args.frames, "--threads", args.threads, *args.encode)
            measure(f"siskin {args.preset}", path, time.time() - start)
        for codec, options in [("libx264", ["-preset", "medium"]), ("libx265", ["-preset", "medium", "-x265-params", "log-level=none"])]:
            for crf in args.crf:
                path = folder / "peer.mkv"
                start = time.time()
                call("ffmpeg", "-v", "error", "-y", "-i", raw, "-c:v", codec, *options, "-crf", crf, "-g", args.frames, path)
                measure(f"{codec[3:]} crf {crf}", path, time.time() - start)
        print("| codec | bpp | PSNR dB | MS-SSIM | bytes | encode s |\n|---|---|---|---|---|---|")
        for name, bpp, psnr, similarity, size, seconds in rows:
            print(f"| {name} | {bpp:.4f} | {psnr:.2f} | {similarity or 0:.4f} | {size} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
