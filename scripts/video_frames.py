#!/usr/bin/env python3
"""A sheet of frames: the source, siskin's realtime preset, and x264 veryfast with zerolatency at as many bytes.

    scripts/video_frames.py target/release/siskin bunny.mp4 bikes.mp4 --quality 50 40 --frame 40 --out sheet.jpg

Each clip is made smaller where it exceeds the size, coded with one keyframe, and read back from its file. The crf of x264 is found
by halving, in steps of 0.1. It needs ffmpeg and Pillow.
"""

import argparse
import pathlib
import subprocess
import tempfile

from PIL import Image, ImageDraw

LABEL = 18


def call(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True).stdout


def frame_of(path, number):
    """Frame `number` of a video as a picture."""
    png = path.with_suffix(".png")
    call("ffmpeg", "-v", "error", "-y", "-i", path, "-vf", f"select=eq(n\\,{number})", "-frames:v", 1, png)
    return Image.open(png).convert("RGB")


def x264_of_size(raw, folder, frames, limit):
    """The file of x264 with the lowest crf that takes at most `limit` bytes, and that crf."""
    low, high, best = 0, 510, None
    while low < high:
        middle = (low + high) // 2
        path = folder / f"x264-{middle}.mkv"
        call("ffmpeg", "-v", "error", "-y", "-i", raw, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency",
             "-g", frames, "-crf", middle / 10, path)
        if path.stat().st_size <= limit:
            high, best = middle, (path, middle / 10)
        else:
            low = middle + 1
    return best


def row(args, clip, quality, folder):
    raw, coded, seen = (folder / name for name in ("raw.y4m", "siskin.mkv", "seen.y4m"))
    width, height = args.size
    scale = f"scale='min({width},iw)':'min({height},ih)':force_original_aspect_ratio=decrease:force_divisible_by=2"
    call("ffmpeg", "-v", "error", "-y", "-i", clip, "-frames:v", args.frames, "-vf", scale, "-pix_fmt", "yuv420p", raw)
    options = ["--preset", "realtime", "--quality", quality, "--keyframe-interval", args.frames]
    call(args.program, "encode", raw, coded, "-y", *options)
    call(args.program, "decode", coded, seen, "-y")
    peer, crf = x264_of_size(raw, folder, args.frames, coded.stat().st_size)
    sizes = [path.stat().st_size for path in (coded, peer)]
    labels = [clip.stem, f"siskin, quality {quality:g}: {sizes[0]} bytes", f"x264 veryfast, crf {crf}: {sizes[1]} bytes"]
    frames = [frame_of(path, args.frame) for path in (raw, seen, peer)]
    box = frames[0].size
    out = Image.new("RGB", (box[0] * len(frames), box[1] + LABEL), "white")
    for i, (frame, label) in enumerate(zip(frames, labels)):
        out.paste(frame, (i * box[0], LABEL))
        ImageDraw.Draw(out).text((i * box[0] + 4, 3), label, fill="black")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("clips", nargs="+", type=pathlib.Path)
    parser.add_argument("--quality", type=float, nargs="+", default=[50], help="one for all clips, or one each")
    parser.add_argument("--size", default="480x270", type=lambda s: tuple(map(int, s.split("x"))))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--frame", type=int, default=40, help="which one is shown, from 0")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    args = parser.parse_args()
    qualities = args.quality if len(args.quality) == len(args.clips) else args.quality[:1] * len(args.clips)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(args, clip, quality, pathlib.Path(folder)) for clip, quality in zip(args.clips, qualities)]
    sheet = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows)), "white")
    y = 0
    for one in rows:
        sheet.paste(one, (0, y))
        y += one.height
    sheet.save(args.out, quality=88)


if __name__ == "__main__":
    main()
