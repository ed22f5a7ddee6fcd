#!/usr/bin/env python3
"""Rate and distortion of siskin, x264, x265 and SVT-AV1 on clips, in one run, from real files.

    scripts/video_rd.py target/release/siskin clip.mp4 --size 320x180 --frames 32 --preset nerv-fast --bpp 0.1 0.2
    scripts/video_rd.py target/release/siskin bunny.mp4 --preset nerv --epochs 80 --bpp 0.08 0.16 0.32 --threads 1 \\
        --torch .siskin/venv-train/bin/python --out docs/evaluation/video-fit
    scripts/video_rd.py target/release/siskin bunny.mp4 carphone.mp4 bikes.mp4 --preset realtime \\
        --size 480x270 --frames 60 --out docs/evaluation/video-realtime

Every codec gets the same raw pictures, made smaller where they exceed the size, and the same interval of key pictures.
Sizes are those of the files in Matroska; PSNR and MS-SSIM are over RGB, frame by frame, as `siskin compare` computes them;
PSNR of luma, and VMAF where `--vmaf` names an FFmpeg with libvmaf (that of PyPI's imageio-ffmpeg 0.8.1 has it), are those of
FFmpeg's filters.
`--preset realtime --refine 0 1 2 4` compares numbers of refinement steps and no peers.
With presets that code each frame at once the peers are set for low delay (x264 and x265 ultrafast and veryfast with
zerolatency, SVT-AV1 preset 12 without reordering), else for files. `--out` writes .csv, .md and, with matplotlib, .png.
With `--torch` each network that siskin fitted is fitted again by `video_torch.py` with as many passes over the same pictures;
those sizes are what the normal distributions promise, for that script writes no bytes. PSNR before coding is the mean over the
last pass without bits in the loss.
The Bjontegaard difference is the mean of the logarithm of the rate over the values that both curves have, by monotone cubic
interpolation; it needs SciPy. MS-SSIM is compared as -10 log10(1 - x).
"""

import argparse
import csv
import json
import math
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

FILE_PEERS = [
    ("x264 medium", ["-c:v", "libx264", "-preset", "medium"], [24, 30, 36, 42, 48, 51]),
    ("x265 medium", ["-c:v", "libx265", "-preset", "medium", "-x265-params", "log-level=none"], [24, 30, 36, 42, 48, 51]),
    ("SVT-AV1 preset 6", ["-c:v", "libsvtav1", "-preset", "6"], [30, 40, 50, 57, 63]),
]
# Passes in all and learning rates of the presets that fit a network; a quarter of the passes has the bits in the loss.
PASSES = {"nerv-fast": (40, (1e-2, 2e-3)), "nerv": (130, (6e-3, 1e-3)), "nerv-slow": (400, (3e-3, 5e-4)),
          "nerv-placebo": (1600, (3e-3, 5e-4))}
LOW_DELAY = ["-tune", "zerolatency"]
AV1 = ["-c:v", "libsvtav1", "-svtav1-params", "pred-struct=1"]
# 23 among the settings of x264, since noise takes 5 times the bits at 23 and 29 times at 20 of what it takes at 27: two points
# that far apart are no curve.
LIVE_PEERS = [
    ("x264 ultrafast zerolatency", ["-c:v", "libx264", "-preset", "ultrafast", *LOW_DELAY], [18, 23, 28, 34]),
    ("x264 veryfast zerolatency", ["-c:v", "libx264", "-preset", "veryfast", *LOW_DELAY], [20, 23, 27, 34]),
    ("x265 ultrafast zerolatency", ["-c:v", "libx265", "-preset", "ultrafast", *LOW_DELAY, "-x265-params",
                                    "log-level=none"], [19, 26, 33]),
    ("SVT-AV1 preset 12 low delay", [*AV1, "-preset", "12"], [27, 40, 54]),
    ("VP9 real time", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "0"],
     [26, 38, 50]),
    ("SVT-AV1 preset 8 low delay", [*AV1, "-preset", "8"], [27, 40, 54]),
    # What lookahead and frames from both sides are worth: for comparison, they cannot be live.
    ("x264 medium, not live", ["-c:v", "libx264", "-preset", "medium"], [20, 23, 27, 34]),
    ("x265 medium, not live", ["-c:v", "libx265", "-preset", "medium", "-x265-params", "log-level=none"], [19, 22, 26, 33]),
    ("SVT-AV1 preset 8, not live", ["-c:v", "libsvtav1", "-preset", "8"], [16, 27, 40, 54]),
]
# What curves are compared by: name, and a value that is about linear in the logarithm of the rate.
MEASURES = {"PSNR over RGB": lambda r: r["psnr"], "PSNR of luma": lambda r: r.get("luma"),
            "MS-SSIM": lambda r: r["ms_ssim"] and -10 * math.log10(max(1e-6, 1 - r["ms_ssim"])), "VMAF": lambda r: r.get("vmaf")}
FIELDS = ["clip", "codec", "setting", "bpp", "psnr", "luma", "ms_ssim", "vmaf", "bytes", "frames", "seconds",
          "encode_cpu", "decode_cpu", "psnr_before_coding"]


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True)


def call(*args):
    return run(*args).stdout


def processor_seconds():
    """Seconds of processor time that the programs run so far have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def filtered(args, raw, seen, folder):
    """Means over frames of the PSNR of luma and, if asked for, of VMAF."""
    log = folder / "log"
    pair = [args.vmaf or "ffmpeg", "-v", "error", "-y", "-i", seen, "-i", raw, "-lavfi"]
    call(*pair, f"[0:v][1:v]psnr=stats_file={log}", "-f", "null", "-")
    # Frames without an error count as 100 dB, as in the PSNR over RGB.
    values = [min(100.0, float(v)) for v in re.findall(r"psnr_y:(\S+)", log.read_text())]
    found = {"luma": sum(values) / len(values)}
    if args.vmaf:
        call(*pair, f"[0:v][1:v]libvmaf=log_fmt=json:log_path={log}:n_threads=2", "-f", "null", "-")
        found["vmaf"] = json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"]
    return found


def measure(args, clip, folder, rows):
    width, height = fit(clip, args.size)
    raw = folder / "raw.y4m"
    call("ffmpeg", "-v", "error", "-y", "-i", clip, "-frames:v", args.frames, "-vf", f"scale={width}:{height}", "-pix_fmt",
         "yuv420p", raw)

    def add(codec, setting, path, seconds, cpu, before=None):
        seen = folder / "seen.y4m"
        start = processor_seconds()
        if path.stem == "siskin":
            call(args.program, "decode", path, seen, "-y")
        else:
            call("ffmpeg", "-v", "error", "-y", "-i", path, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", seen)
        decode_cpu = processor_seconds() - start
        found, size = last(call(args.program, "compare", raw, seen, "--json")), path.stat().st_size
        assert found["same_length"], f"{codec} lost frames"
        rows.append({"clip": clip.stem, "codec": codec, "setting": setting,
                     "bpp": 8 * size / (width * height * found["frames"]), "psnr": found["psnr"],
                     "ms_ssim": found["ms_ssim"], "bytes": size, "frames": found["frames"], "seconds": round(seconds, 3),
                     "encode_cpu": round(1e3 * cpu / found["frames"], 2),
                     "decode_cpu": round(1e3 * decode_cpu / found["frames"], 2),
                     "psnr_before_coding": before, **filtered(args, raw, seen, folder)})
        print(rows[-1], flush=True)

    gop_option = "--keyframe-interval" if args.preset not in PASSES else "--gop-size"

    def siskin(codec, setting, *options):
        path = folder / "siskin.mkv"
        start, cpu = time.time(), processor_seconds()
        done = run(args.program, "encode", raw, path, "-y", "--preset", args.preset, gop_option, args.gop_size,
                   "--threads", args.threads, "--json", *options, *args.encode)
        told = last(done.stdout)
        # In real time the encoder's own seconds are told, without reading the input and measuring.
        seconds = told["frames"] / told["fps"] if "fps" in told else time.time() - start
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        before = [s["psnr"] for s in steps if s.get("psnr") and s.get("bits_per_pixel") is None]
        add(codec, setting, path, seconds, processor_seconds() - cpu, before[-1] if before else None)
        return path

    def torch(setting, path, size):
        """Fits the network of a file again, in PyTorch."""
        passes, rates = PASSES[args.preset]
        coding = max(1, (args.epochs or passes) // 4)
        start = time.time()
        told = last(call(args.torch, pathlib.Path(__file__).with_name("video_torch.py"), path, "--fit", raw, "--epochs",
                         (args.epochs or passes) - coding, coding, "--rates", *rates, "--bytes", size))
        bits = 8 * (told["estimated_bytes"] + path.stat().st_size - packet_bytes(path))
        rows.append({"clip": clip.stem, "codec": "PyTorch, same network (size estimated)", "setting": setting,
                     "bpp": bits / (width * height * told["frames"]), "psnr": told["psnr"], "ms_ssim": told["ms_ssim"],
                     "bytes": bits // 8, "frames": told["frames"], "seconds": round(time.time() - start, 3),
                     "psnr_before_coding": told["psnr_before_coding"]})
        print(rows[-1], flush=True)

    def packet_bytes(path):
        return last(call(args.program, "info", path, "--json"))["packet_bytes"]

    if args.preset not in PASSES:
        for steps in args.refine or [None]:
            name, more = (f"siskin {args.preset}", []) if steps is None else (f"{steps} refinements", ["--refine", steps])
            for quality in args.quality:
                siskin(name, f"quality {quality}", "--quality", quality, *more)
    else:
        passes = ["--epochs", args.epochs] if args.epochs else []
        for bpp in args.bpp:
            size = int(bpp * width * height * args.frames / 8)
            path = siskin(f"siskin {args.preset}", f"{bpp} bpp", "--size", size, *passes)
            if args.torch:
                torch(f"{bpp} bpp", path, size - (path.stat().st_size - packet_bytes(path)))
    peers = LIVE_PEERS if args.preset not in PASSES else FILE_PEERS
    peers = [p for p in peers if not args.peers or p[0] in args.peers]
    for codec, options, settings in [] if args.refine else peers:
        for crf in settings:
            path = folder / "peer.mkv"
            start, cpu = time.time(), processor_seconds()
            call("ffmpeg", "-v", "error", "-y", "-i", raw, *options, "-threads", args.threads, "-crf", crf, "-g",
                 args.gop_size, path)
            add(codec, f"crf {crf}", path, time.time() - start, processor_seconds() - cpu)


def curve(rows, clip, codec, value):
    """Rate and a value of each point of a codec."""
    return [(r["bpp"], value(r)) for r in rows if (r["clip"], r["codec"]) == (clip, codec)]


def report(rows):
    """Markdown: every point, then the differences of rate to each peer."""
    fits = any(r["psnr_before_coding"] for r in rows)
    has_vmaf = any(r.get("vmaf") for r in rows)
    head = ["clip", "codec", "setting", "bpp", "PSNR dB", "luma dB", "MS-SSIM", *["VMAF"] * has_vmaf, "bytes", "encode fps",
            "encode CPU, ms", "decode CPU, ms", *["before coding, dB"] * fits]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for r in rows:
        fps = r["frames"] / max(1e-3, r["seconds"])
        cells = [r["clip"], r["codec"], r["setting"], f"{r['bpp']:.4f}", f"{r['psnr']:.2f}", f"{r.get('luma') or 0:.2f}",
                 f"{r['ms_ssim'] or 0:.4f}"]
        cells += [f"{r.get('vmaf') or 0:.1f}"] * has_vmaf + [str(r["bytes"]), f"{fps:.{1 if fps >= 1 else 3}f}"]
        cells += [f"{r[k]:.1f}" if r.get(k) is not None else "" for k in ("encode_cpu", "decode_cpu")]
        cells += [f"{r['psnr_before_coding']:.2f}" if r["psnr_before_coding"] else ""] * fits
        lines.append("| " + " | ".join(cells) + " |")
    clips, codecs = (list(dict.fromkeys(r[k] for r in rows)) for k in ("clip", "codec"))
    if all(r.get("encode_cpu") for r in rows):
        lines += ["", "Processor time of a frame, ms, mean over clips and settings, reading and starting among it:", "",
                  "| | encode | decode |", "|---|---|---|"]
        for codec in codecs:
            means = [statistics.mean(r[k] for r in rows if r["codec"] == codec) for k in ("encode_cpu", "decode_cpu")]
            lines.append(f"| {codec} | " + " | ".join(f"{m:.1f}" for m in means) + " |")
    # With steps of refinement the question is what each number of them brings over the first.
    is_steps = codecs[0].endswith("refinements")
    for name, value in MEASURES.items():
        if any(value(r) is None for r in rows):
            continue
        title = f"Rate at equal {name} against {codecs[0]}:" if is_steps else f"Rate of {codecs[0]} at equal {name} against:"
        lines += ["", title, "", "| | " + " | ".join([*clips, "mean"]) + " |", "|---" * (len(clips) + 2) + "|"]
        for codec in codecs[1:]:
            pairs = [[curve(rows, clip, one, value) for one in (codec, codecs[0])] for clip in clips]
            found = [difference(*(pair if is_steps else reversed(pair))) for pair in pairs]
            known = [f for f in found if f is not None]
            found.append(sum(known) / len(known) if known else None)
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
    parser.add_argument("--preset", default="realtime")
    parser.add_argument("--gop-size", type=int, help="frames from a keyframe to the next [default: all]")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.1], help="rates of the presets that fit a network")
    parser.add_argument("--epochs", type=int, help="passes over the frames in all, of the presets that fit a network")
    parser.add_argument("--torch", metavar="PYTHON", help="fit each network again with this Python, which has PyTorch")
    parser.add_argument("--quality", type=float, nargs="+", default=[82, 66, 50, 32], help="qualities of the preset realtime")
    parser.add_argument("--refine", type=int, nargs="+", help="steps of refinement in real time, compared with one another")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--peers", nargs="+", metavar="NAME", choices=[codec for codec, *_ in FILE_PEERS + LIVE_PEERS],
                        help="names of those to compare with [default: all of the preset's kind]")
    parser.add_argument("--vmaf", metavar="FFMPEG", help="an FFmpeg with libvmaf, which then measures VMAF")
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
