"""Agreement with the teacher against bytes a frame: features, and pictures that the teacher reads on the server.

    python models/features/compare.py --cache .siskin/features --siskin target/debug/siskin --out docs/evaluation/features.json

The teacher's findings on the original picture are the reference. Every frame is coded by itself: JPEG and WebP, and x264 and
Siskin video with keyframes alone. A second table has clips, each a slow pan over a picture, where the video codecs may predict
from frame to frame and features and JPEG do not. Times are of one thread, and of the links computed from bytes.
"""
import argparse
import io
import json
import resource
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import testset
from agreement import Agreement
from PIL import Image
from running import cpu_ms
from scenes import HEIGHT, WIDTH
from teacher import Teacher

LINKS = (1, 10, 50)
CODECS = ("JPEG", "WebP", "x264, keyframes", "Siskin video, keyframes")


def i420(picture):
    return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)


def write_y4m(path, pictures):
    with open(path, "wb") as out:
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420mpeg2\n".encode())
        for picture in pictures:
            out.write(b"FRAME\n" + i420(picture).tobytes())


def read_video(path):
    """Frames of a video as u8 [n, h, w, 3], blue first."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    raw = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.uint8)
    frames = raw.reshape(-1, HEIGHT * 3 // 2, WIDTH)
    return [cv2.cvtColor(f, cv2.COLOR_YUV2BGR_I420) for f in frames]


def pillow(kind, **options):
    def code(pictures, _, quality):
        size, out = 0, []
        for picture in pictures:
            data = io.BytesIO()
            Image.fromarray(picture[..., ::-1]).save(data, kind, quality=quality, **options)
            size += data.tell()
            out.append(np.asarray(Image.open(data).convert("RGB"))[..., ::-1])
        return size, out
    return code


def x264(interval):
    def code(pictures, folder, quality):
        write_y4m(folder / "in.y4m", pictures)
        options = ["-c:v", "libx264", "-preset", "medium", "-tune", "zerolatency", "-threads", "1", "-g", str(interval)]
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(folder / "in.y4m"), *options, "-crf", str(quality),
                        str(folder / "x.h264")], check=True)
        return (folder / "x.h264").stat().st_size, read_video(folder / "x.h264")
    return code


def siskin_video(program, interval):
    def code(pictures, folder, quality):
        write_y4m(folder / "in.y4m", pictures)
        subprocess.run([program, "encode", "-y", "-q", str(folder / "in.y4m"), str(folder / "s.mkv"), "--quality", str(quality),
                        "--keyframe-interval", str(interval)], check=True)
        line = subprocess.run([program, "info", "--json", str(folder / "s.mkv")], check=True, capture_output=True).stdout
        info = json.loads(line)
        subprocess.run([program, "decode", "-y", "-q", str(folder / "s.mkv"), str(folder / "s.y4m")], check=True)
        return info.get("packet_bytes", info["bytes"]), read_video(folder / "s.y4m")
    return code


def features(program, bundle):
    def code(pictures, folder, level):
        write_y4m(folder / "in.y4m", pictures)
        command = [program, "features", "encode", "-y", str(folder / "in.y4m"), str(folder / "f.mkv"), "--level", str(level)]
        lines = subprocess.run([*command, "--json", "--model", bundle], check=True, capture_output=True).stdout.splitlines()
        maps = folder / f"maps{level}"
        command = [program, "features", "decode", "-y", "-q", str(folder / "f.mkv"), str(folder / "f.jsonl")]
        subprocess.run([*command, "--maps", str(maps), "--model", bundle], check=True)
        found = [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255 for p in sorted(maps.glob("text-*.pgm"))]
        return json.loads(lines[-1])["packet_bytes"], found
    return code


def measure(name, code, qualities, pictures, references, teacher, reads_pictures=True):
    rows = []
    for quality in qualities:
        with tempfile.TemporaryDirectory() as folder:
            size, out = code(pictures, Path(folder), quality)
        assert len(out) == len(pictures), (name, quality, len(out))
        agreement = Agreement()
        for found, reference in zip(out, references):
            agreement.add(teacher.run(found) if reads_pictures else found, reference)
        rows.append({"codec": name, "quality": quality, "bytes": size / len(pictures), "f": agreement.f, "iou": agreement.iou})
        print(f"{name} {quality}: {rows[-1]['bytes']:.0f} bytes a frame, F {agreement.f:.3f}, IoU {agreement.iou:.3f}", flush=True)
    return rows


def bytes_at(rows, f):
    """Bytes at which a codec reaches an F-measure, on straight lines over the logarithm of bytes; None where it never does,
    and the least of its bytes where it always does."""
    rows = sorted(rows, key=lambda r: r["bytes"])
    if rows[0]["f"] >= f:
        return rows[0]["bytes"]
    for a, b in zip(rows, rows[1:]):
        if a["f"] < f <= b["f"]:
            part = (f - a["f"]) / (b["f"] - a["f"])
            return float(np.exp(np.log(a["bytes"]) + part * np.log(b["bytes"] / a["bytes"])))
    return None


def halves(program, bundle, picture, frames=40):
    """Processor time of both halves for a frame, from runs over few and over many frames: what a run takes before its first
    frame drops out, and so does what other programs take. Reading the frames is in it."""
    def spent(command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (2, 2 + frames):
            clip, coded = Path(folder) / f"{count}.y4m", Path(folder) / f"{count}.mkv"
            write_y4m(clip, [picture] * count)
            encode = [program, "features", "encode", "-y", "-q", str(clip), str(coded), "--model", bundle]
            decode = [program, "features", "decode", "-y", "-q", str(coded), str(Path(folder) / "out.jsonl"), "--model", bundle]
            # The least of three runs.
            times[count] = [min(spent(command) for _ in range(3)) for command in (encode, decode)]
    device, server = ((b - a) / frames * 1e3 for a, b in zip(times[2], times[2 + frames]))
    return {"device_ms": device, "server_ms": server}


def pan(picture, frames=10):
    """A slow pan and zoom over a picture."""
    out = []
    for t in range(frames):
        zoom = 1 / (1.12 + 0.004 * t)
        matrix = np.float32([[zoom, 0, 12 + 2.3 * t], [0, zoom, 10 + 1.1 * t]])
        out.append(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                  borderMode=cv2.BORDER_REFLECT))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/features"))
    parser.add_argument("--siskin", default="siskin")
    parser.add_argument("--bundle", default="text-features")
    parser.add_argument("--levels", type=int, default=6)
    parser.add_argument("--pictures", type=Path, action="append", default=[], help="a folder of more pictures (repeatable)")
    parser.add_argument("--held", action="store_true", help="the pictures that no choice has seen, in place of the others")
    parser.add_argument("--every", type=int, default=1, help="every Nth picture alone")
    parser.add_argument("--video-program", help="another build of siskin for the video")
    parser.add_argument("--clips", type=int, default=8, help="clips of ten frames")
    parser.add_argument("--codec", action="append", choices=CODECS, help="beside this one alone (repeatable)")
    parser.add_argument("--pictures-only", action="store_true", help="no clips and no times")
    parser.add_argument("--keep", type=Path, help="take the other codecs' figures from the file of an earlier run")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    teacher = Teacher()
    pictures = [v for _, v in (testset.held if args.held else testset.load)(args.cache, args.pictures)][:: args.every]
    references = [teacher.run(v) for v in pictures]
    print(f"{len(pictures)} pictures, {sum(r.max() >= 0.3 for r in references)} of them with text", flush=True)
    levels = range(args.levels)
    rows = []
    if args.keep:
        # Figures of the other codecs do not change with the bundle.
        kept = [r for r in json.loads(args.keep.read_text())["rows"] if r["codec"] != "features"]
    own = measure("features", features(args.siskin, args.bundle), levels, pictures, references, teacher, False)
    rows += own
    codecs = [
        ("JPEG", pillow("JPEG", optimize=True), (2, 5, 10, 20, 40, 70)),
        ("WebP", pillow("WEBP", method=4), (1, 8, 25, 60)),
        ("x264, keyframes", x264(1), (48, 42, 36, 30)),
        ("Siskin video, keyframes", siskin_video(args.video_program or args.siskin, 1), (25, 40, 55)),
    ]
    codecs = [codec for codec in codecs if codec[0] in (args.codec or CODECS)]
    for name, code, qualities in codecs:
        if args.keep:
            rows += [r for r in kept if r["codec"] == name]
        else:
            rows += measure(name, code, qualities, pictures, references, teacher)
    equal = []
    for row in own:
        at = {name: bytes_at([r for r in rows if r["codec"] == name], row["f"]) for name, _, _ in codecs}
        equal.append({"level": row["quality"], "bytes": row["bytes"], "f": row["f"], "others": at})
        said = [f"{n} never" if b is None else f"{n} {b:.0f} ({row['bytes'] / b:.2f})" for n, b in at.items()]
        print(f"level {row['quality']}: {row['bytes']:.0f} bytes, at its F {', '.join(said)}", flush=True)
    if args.pictures_only:
        if args.out:
            args.out.write_text(json.dumps({"pictures": len(pictures), "rows": rows, "equal": equal}, indent=1) + "\n")
        return
    # Clips of those pictures in which most is found.
    chosen = sorted(range(len(pictures)), key=lambda i: -float((references[i] > 0.3).mean()))[: args.clips]
    frames = [f for i in chosen for f in pan(pictures[i])]
    seen = [teacher.run(f) for f in frames]
    clips = measure("features", features(args.siskin, args.bundle), levels, frames, seen, teacher, False)
    for name, code, qualities in [("JPEG", pillow("JPEG", optimize=True), (5, 20)), ("x264", x264(10), (44, 36)),
                                  ("Siskin video", siskin_video(args.video_program or args.siskin, 10), (25, 45))]:
        clips += measure(name, code, qualities, frames, seen, teacher)
    middle = pictures[len(pictures) // 2]
    data = cv2.imencode(".jpg", middle, [cv2.IMWRITE_JPEG_QUALITY, 12])[1]
    times = {"teacher_ms": cpu_ms(lambda: teacher.run(middle)),
             "jpeg_encode_ms": cpu_ms(lambda: cv2.imencode(".jpg", middle, [cv2.IMWRITE_JPEG_QUALITY, 12])),
             "jpeg_decode_ms": cpu_ms(lambda: cv2.imdecode(data, cv2.IMREAD_COLOR))}
    times |= halves(args.siskin, args.bundle, middle)
    times["device_part"] = times["device_ms"] / times["teacher_ms"]
    print(times, flush=True)
    ends = []
    for row in equal:
        jpeg = row["others"].get("JPEG")
        for link in LINKS:
            byte = 8 / (link * 1e3)
            ours = times["device_ms"] + byte * row["bytes"] + times["server_ms"]
            whole = times["jpeg_encode_ms"] + times["jpeg_decode_ms"] + times["teacher_ms"]
            theirs = None if jpeg is None else whole + byte * jpeg
            ends.append({"level": row["level"], "mbit": link, "features_ms": ours, "jpeg_ms": theirs})
    for end in ends:
        print(end, flush=True)
    if args.out:
        args.out.write_text(json.dumps({"pictures": len(pictures), "frames_of_clips": len(frames), "rows": rows, "equal": equal,
                                        "clips": clips, "times": times, "ends": ends}, indent=1) + "\n")


if __name__ == "__main__":
    main()
