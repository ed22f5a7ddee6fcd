#!/usr/bin/env python3
"""Makes the clips of text, of a screen, and of a night that scripts/video_rd.py is run on, without loss.

    scripts/video_clips.py FOLDER bikes.mp4 carphone_pristine.mp4 --font DejaVuSans.ttf --mono DejaVuSansMono.ttf

text.mkv: a page of testdata/video that scrolls by three rows a frame. screen.mkv: two windows of text, one that jumps by
pages and one to which lines are added, a film (the second clip), and something that moves over them. night.mkv: the first clip
at 0.3 of its contrast and half of its colors, with the noise of a sensor. They need an FFmpeg with drawtext, and the same one
makes the same clips.
"""

import argparse
import pathlib
import subprocess

PAGES = pathlib.Path(__file__).resolve().parent.parent / "testdata/video"
LOSSLESS = ["-pix_fmt", "yuv420p", "-c:v", "ffv1"]


def ffmpeg(*args):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, args)], check=True)


def written(font, page, size, color, x, y):
    return (f"drawtext=fontfile={font}:textfile={PAGES / page}:expansion=none:fontsize={size}:fontcolor={color}:x={x}:y='{y}'")


def plain(color, size, rate=30):
    return f"color={color}:s={size}:r={rate},format=yuv444p"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("street", type=pathlib.Path, help="what the night is made of")
    parser.add_argument("face", type=pathlib.Path, help="the film on the screen, 176x144")
    parser.add_argument("--font", default="/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
    parser.add_argument("--mono", default="/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")
    parser.add_argument("--frames", type=int, default=60)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    end = ["-frames:v", args.frames, *LOSSLESS]
    page = written(args.font, "page.txt", 13, "black", 8, "20-3*n")
    ffmpeg("-f", "lavfi", "-i", f"{plain('white', '480x270')},{page}", *end, args.folder / "text.mkv")
    left = written(args.mono, "specification.txt", 10, "0x202020", 4, "4-39*floor(n/12)")
    right = written(args.mono, "page.txt", 10, "0xd0e0a0", 4, "108-12*floor(n/4)")
    layers = [plain("0x303848", "480x270"), f"{plain('0xfafafa', '250x200')},{left}",
              f"{plain('0x101820', '200x120')},{right}", plain("black", "8x12")]
    inputs = [word for layer in layers for word in ("-f", "lavfi", "-i", layer)]
    over = ("[0][1]overlay=10:20[a];[a][2]overlay='255+floor(n/20)*3':130[b];[b][4]overlay=290:10:shortest=1[c];"
            "[c][3]overlay=x='100+3*n':y='60+n':shortest=1")
    ffmpeg(*inputs, "-i", args.face, "-filter_complex", over, *end, args.folder / "screen.mkv")
    dark = ("scale=480:204,lutyuv=y='16+(val-16)*0.3':u='128+(val-128)*0.5':v='128+(val-128)*0.5',"
            "noise=alls=8:allf=t:all_seed=7")
    ffmpeg("-i", args.street, "-vf", dark, *end, args.folder / "night.mkv")


if __name__ == "__main__":
    main()
