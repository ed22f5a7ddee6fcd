#!/usr/bin/env python3
"""Compares the block codec with FFmpeg's encoders by the bytes of packets alone, without containers.

    cargo build --release -p siskin-video --example block_codec
    scripts/video_packets.py target/release/examples/block_codec text.mkv bigbuckbunny.mp4 --out docs/evaluation/video-packets

The first frames of each clip, made smaller to lie within --size, one keyframe. Siskin's packets are decoded again and compared with
what the encoder saw. PSNR over RGB and of luma are means over frames; differences of rate are Bjontegaard's, as in video_rd.py.
Processor time of a frame is that of the codec alone for Siskin, and that of the whole program for the others, reading among it.
"""

import argparse
import pathlib
import re
import tempfile

from video_rd import LIVE_PEERS, call, difference, fit, processor_seconds

HEAD = ["clip", "codec", "setting", "bytes", "PSNR dB", "luma dB", "encode CPU, ms", "decode CPU, ms"]


def siskin(args, raw, name):
    """A row for each quality."""
    words = [args.program, raw, *args.quality, f"r{args.refine}", f"l{args.lookahead}"]
    found = re.findall(r" (\d+) bytes (\d+) rgb (\S+) y (\S+) .* cpu (\S+) wall \S+ dcpu (\S+) ms", call(*words))
    assert len(found) == len(args.quality), "one line a quality"
    return [[name, "siskin", f"quality {q}", int(b), *map(float, rest)] for q, b, *rest in found]


def peer(args, raw, name, folder, codec, options, crf):
    coded, seen = folder / "peer.mkv", folder / "seen.y4m"
    start = processor_seconds()
    call("ffmpeg", "-v", "error", "-y", "-i", raw, *options, "-threads", args.threads, "-crf", crf, "-g", args.frames, coded)
    middle = processor_seconds()
    call("ffmpeg", "-v", "error", "-y", "-i", coded, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", seen)
    end = processor_seconds()
    sizes = call("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=size", "-of", "csv=p=0", coded)
    size = sum(int(line.strip(",")) for line in sizes.split())
    rgb, luma = re.search(r"rgb (\S+) y (\S+)", call(args.program, raw, seen)).groups()
    times = [round(1e3 * t / args.frames, 2) for t in (middle - start, end - middle)]
    return [name, codec, f"crf {crf}", size, float(rgb), float(luma), *times]


def report(rows):
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    clips, codecs = (list(dict.fromkeys(row[i] for row in rows)) for i in (0, 1))
    for title, column in (("PSNR over RGB", 4), ("PSNR of luma", 5)):
        lines += ["", f"Rate of siskin at equal {title} against:", "", "| | " + " | ".join([*clips, "mean"]) + " |",
                  "|---" * (len(clips) + 2) + "|"]
        for codec in codecs[1:]:
            curves = [[[(r[3], r[column]) for r in rows if r[:2] == [clip, c]] for c in (codecs[0], codec)] for clip in clips]
            found = [difference(*pair) for pair in curves]
            known = [f for f in found if f is not None]
            found.append(sum(known) / len(known) if known else None)
            lines.append(f"| {codec} | " + " | ".join("no overlap" if f is None else f"{f:+.1f} %" for f in found) + " |")
    lines += ["", "Processor time of a frame, ms, mean over clips and settings:", "", "| | encode | decode |", "|---|---|---|"]
    for codec in codecs:
        own = [row for row in rows if row[1] == codec]
        lines.append(f"| {codec} | " + " | ".join(f"{sum(r[i] for r in own) / len(own):.1f}" for i in (6, 7)) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the example block_codec")
    parser.add_argument("clips", nargs="+", type=pathlib.Path)
    parser.add_argument("--size", default="480x270", type=lambda s: tuple(map(int, s.split("x"))))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--quality", nargs="+", default=["6", "14", "22", "30"], help="qualities of the example, 0 is the finest")
    parser.add_argument("--refine", type=int, default=1)
    parser.add_argument("--lookahead", type=int, default=0, help="frames of a packet at most")
    names = [codec for codec, *_ in LIVE_PEERS]
    parser.add_argument("--peers", nargs="+", metavar="NAME", choices=names, default=names, help="names as in video_rd.py")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--out", help="path without extension for .md")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for clip in args.clips:
            width, height = fit(clip, args.size)
            raw = folder / "raw.y4m"
            call("ffmpeg", "-v", "error", "-y", "-i", clip, "-frames:v", args.frames, "-vf", f"scale={width}:{height}", "-pix_fmt",
                 "yuv420p", raw)
            rows += siskin(args, raw, clip.stem)
            for codec, options, settings in LIVE_PEERS:
                if codec in args.peers:
                    rows += [peer(args, raw, clip.stem, folder, codec, options, crf) for crf in settings]
            if args.out:
                pathlib.Path(args.out + ".md").write_text(report(rows))
    print(report(rows))


if __name__ == "__main__":
    main()
