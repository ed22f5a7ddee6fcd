#!/usr/bin/env python3
"""Rate and distortion of siskin, x264, x265 and SVT-AV1 on clips, in one run, from real files.

    scripts/video_rd.py target/release/siskin clip.mp4 --size 320x180 --frames 32 --preset fast --bpp 0.1 0.2
    scripts/video_rd.py target/release/siskin bunny.mp4 carphone.mp4 bikes.mp4 --preset realtime \\
        --size 480x270 --frames 60 --out docs/evaluation/video-realtime

Every codec gets the same raw pictures, made smaller where they exceed the size, and the same interval of key pictures.
Sizes are those of the files in Matroska; PSNR and MS-SSIM are over RGB, frame by frame, as `siskin compare` computes them.
With `--preset realtime` the peers are set for low delay (x264 and x265 ultrafast and veryfast with zerolatency, SVT-AV1
preset 12 without reordering), else for files. `--out` writes .csv, .md and, with matplotlib, .png.
The Bjontegaard difference is the mean of the logarithm of the rate over the PSNR that both curves have, by monotone cubic
interpolation; it needs SciPy.
"""

import argparse
import csv
import json
import math
import pathlib
import subprocess
import tempfile
import time

FILE_PEERS = [
    ("x264 medium", ["-c:v", "libx264", "-preset", "medium"], [24, 30, 36, 42]),
    ("x265 medium", ["-c:v", "libx265", "-preset", "medium", "-x265-params", "log-level=none"], [24, 30, 36, 42]),
]
LOW_DELAY = ["-tune", "zerolatency"]
AV1 = ["-c:v", "libsvtav1", "-svtav1-params", "pred-struct=1"]
LIVE_PEERS = [
    ("x264 ultrafast zerolatency", ["-c:v", "libx264", "-preset", "ultrafast", *LOW_DELAY], [18, 23, 28, 34]),
    ("x264 veryfast zerolatency", ["-c:v", "libx264", "-preset", "veryfast", *LOW_DELAY], [20, 27, 34]),
    ("x265 ultrafast zerolatency", ["-c:v", "libx265", "-preset", "ultrafast", *LOW_DELAY, "-x265-params",
                                    "log-level=none"], [19, 26, 33]),
    ("SVT-AV1 preset 12 low delay", [*AV1, "-preset", "12"], [27, 40, 54]),
]
FIELDS = ["clip", "codec", "setting", "bpp", "psnr", "ms_ssim", "bytes", "frames", "seconds"]


def call(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


def last(text):
    return json.loads(text.strip().splitlines()[-1])


def fit(clip, size):
    """The clip's size, made smaller to lie within `size`; even."""
    text = call("ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0", clip)
    width, height = map(int, text.strip().splitlines()[0].strip(",").split(","))
    scale = min(1.0, size[0] / width, size[1] / height)
    return tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))


def difference(curve, anchor):
    """Percent of the anchor's rate at equal PSNR, less 100; none where the curves have no PSNR in common."""
    from scipy.interpolate import PchipInterpolator
    curves = [sorted((p, math.log(b)) for b, p in c) for c in (curve, anchor)]
    low, high = max(c[0][0] for c in curves), min(c[-1][0] for c in curves)
    if high - low < 0.5:
        return None
    means = [PchipInterpolator(*zip(*c)).integrate(low, high) / (high - low) for c in curves]
    return 100 * (math.exp(means[0] - means[1]) - 1)


def measure(args, clip, folder, rows):
    width, height = fit(clip, args.size)
    raw = folder / "raw.y4m"
    call("ffmpeg", "-v", "error", "-y", "-i", clip, "-frames:v", args.frames, "-vf", f"scale={width}:{height}", "-pix_fmt",
         "yuv420p", raw)

    def add(codec, setting, path, seconds):
        seen = path
        if not codec.startswith("siskin"):
            seen = folder / "seen.y4m"
            call("ffmpeg", "-v", "error", "-y", "-i", path, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", seen)
        found, size = last(call(args.program, "compare", raw, seen, "--json")), path.stat().st_size
        assert found["same_length"], f"{codec} lost frames"
        rows.append({"clip": clip.stem, "codec": codec, "setting": setting,
                     "bpp": 8 * size / (width * height * found["frames"]), "psnr": found["psnr"],
                     "ms_ssim": found["ms_ssim"], "bytes": size, "frames": found["frames"], "seconds": round(seconds, 3)})
        print(rows[-1], flush=True)

    def siskin(setting, *options):
        path = folder / "siskin.mkv"
        start = time.time()
        told = last(call(args.program, "encode", raw, path, "-y", "--preset", args.preset, "--gop-size", args.gop_size,
                         "--threads", args.threads, "--json", *options, *args.encode))
        # In real time the encoder's own seconds are told, without reading the input and measuring.
        seconds = told["frames"] / told["fps"] if "fps" in told else time.time() - start
        add(f"siskin {args.preset}", setting, path, seconds)

    if args.preset == "realtime":
        for quality in args.quality:
            siskin(f"quality {quality}", "--quality", quality)
    else:
        for bpp in args.bpp:
            siskin(f"{bpp} bpp", "--size", int(bpp * width * height * args.frames / 8))
    for codec, options, settings in LIVE_PEERS if args.preset == "realtime" else FILE_PEERS:
        for crf in settings:
            path = folder / "peer.mkv"
            start = time.time()
            call("ffmpeg", "-v", "error", "-y", "-i", raw, *options, "-threads", args.threads, "-crf", crf, "-g",
                 args.gop_size, path)
            add(codec, f"crf {crf}", path, time.time() - start)


def report(rows):
    """Markdown: every point, then the differences of rate to each peer."""
    lines = ["| clip | codec | setting | bpp | PSNR dB | MS-SSIM | bytes | encode fps |", "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r['clip']} | {r['codec']} | {r['setting']} | {r['bpp']:.4f} | {r['psnr']:.2f} "
                     f"| {r['ms_ssim'] or 0:.4f} | {r['bytes']} | {r['frames'] / max(1e-3, r['seconds']):.1f} |")
    clips, codecs = (list(dict.fromkeys(r[k] for r in rows)) for k in ("clip", "codec"))
    curve = lambda clip, codec: [(r["bpp"], r["psnr"]) for r in rows if (r["clip"], r["codec"]) == (clip, codec)]
    lines += ["", f"Rate of {codecs[0]} at equal PSNR against:", "", "| | " + " | ".join(clips) + " |", "|---" * (len(clips) + 1) + "|"]
    for codec in codecs[1:]:
        found = [difference(curve(c, codecs[0]), curve(c, codec)) for c in clips]
        lines.append(f"| {codec} | " + " | ".join("no overlap" if f is None else f"{f:+.1f} %" for f in found) + " |")
    return "\n".join(lines) + "\n"


def plot(rows, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    clips = list(dict.fromkeys(r["clip"] for r in rows))
    figure, axes = plt.subplots(1, len(clips), figsize=(5 * len(clips), 4), squeeze=False)
    for axis, clip in zip(axes[0], clips):
        for codec in dict.fromkeys(r["codec"] for r in rows):
            points = sorted((r["bpp"], r["psnr"]) for r in rows if (r["clip"], r["codec"]) == (clip, codec))
            axis.plot(*zip(*points), marker="o", label=codec, linewidth=2.5 if codec.startswith("siskin") else 1)
        axis.set(title=clip, xlabel="bits a pixel", ylabel="PSNR over RGB, dB", xscale="log")
        axis.grid(True, which="both", alpha=0.3)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("clips", nargs="+", type=pathlib.Path)
    parser.add_argument("--size", default="320x180", type=lambda s: tuple(map(int, s.split("x"))))
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--gop-size", type=int, help="frames from a key picture to the next [default: all]")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.1], help="rates of the presets that fit a network")
    parser.add_argument("--quality", type=float, nargs="+", default=[82, 66, 50, 32], help="qualities of the preset realtime")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--out", help="path without extension for .csv, .md and .png")
    parser.add_argument("--encode", nargs=argparse.REMAINDER, default=[], help="more options of siskin encode")
    args = parser.parse_args()
    args.gop_size = args.gop_size or args.frames
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in args.clips:
            measure(args, clip, pathlib.Path(folder), rows)
    text = report(rows)
    print(text)
    if args.out:
        with open(args.out + ".csv", "w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
        pathlib.Path(args.out + ".md").write_text(text)
        plot(rows, args.out + ".png")


if __name__ == "__main__":
    main()
