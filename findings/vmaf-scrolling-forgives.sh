#!/usr/bin/env bash
# VMAF gives a page that scrolls 25 points more than the same page that stands still, for the same damage at the same PSNR.
#
# Tools:     FFmpeg 9.0.2 with libvmaf and its default model vmaf_v0.6.1, of imageio-ffmpeg 0.8.1 (PyPI), by the Python in $PYTHON or
#            the PATH's.
# Guess:     still 60, scrolling 65: motion is a feature of the model, but each frame has the same letters and the same noise.
# Found:     the feature adds 25 points where nothing else differs.
# Output:    still: VMAF 63.3, PSNR of luma 21.3; scrolling: VMAF 87.9, PSNR of luma 21.3
# Meaning:   VMAF does not compare recordings of screens with one another, and says little of text in motion. Rates at equal VMAF are
#            to be read beside PSNR or MS-SSIM there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$folder" imageio-ffmpeg==0.8.1
"$python" - "$folder" <<'PY'
import pathlib
import random
import re
import stat
import subprocess
import sys
import zipfile

folder = pathlib.Path(sys.argv[1])
zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder)
ffmpeg = next((folder / "imageio_ffmpeg/binaries").glob("ffmpeg-*"))
ffmpeg.chmod(ffmpeg.stat().st_mode | stat.S_IXUSR)
WIDTH, HEIGHT, FRAMES = 480, 272, 48

# Words of twelve letters, 9 rows high, black and gray on white.
random.seed(5)
letters = [[[random.choice((20, 20, 90, 160, 235, 235)) for _ in range(4 + i % 4)] for _ in range(9)] for i in range(12)]
rows = []
for line in range((HEIGHT + 3 * FRAMES) // 13 + 1):
    band = [bytearray([235] * WIDTH) for _ in range(13)]
    left = 4
    while left < WIDTH - 70:
        for _ in range(random.randint(2, 7)):
            shape = random.choice(letters)
            for y, samples in enumerate(shape):
                band[y + 2][left:left + len(samples)] = bytes(samples)
            left += len(shape[0]) + 1
        left += 5
    rows += band

def write(name, step):
    with open(folder / name, "wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F30:1 Ip A1:1 Cmono\n".encode())
        for frame in range(FRAMES):
            file.write(b"FRAME\n" + b"".join(bytes(row) for row in rows[step * frame:step * frame + HEIGHT]))

def measured(name, measure, found):
    graph = f"[0:v]format=yuv420p,split[a][b];[b]noise=alls=40:allf=t:all_seed=3[c];[c][a]{measure}"
    done = subprocess.run([ffmpeg, "-hide_banner", "-i", folder / name, "-lavfi", graph, "-f", "null", "-"],
                          check=True, capture_output=True, text=True)
    return float(re.search(found, done.stderr).group(1))

scores = {}
for name, step in (("still", 0), ("scrolling", 3)):
    write(name, step)
    scores[name] = (measured(name, "libvmaf", r"VMAF score: (\S+)"), measured(name, "psnr", r"PSNR y:(\S+)"))
    print(f"{name}: VMAF {scores[name][0]:.1f}, PSNR of luma {scores[name][1]:.1f}")
still, scrolling = scores["still"], scores["scrolling"]
assert abs(still[1] - scrolling[1]) < 0.3, "the same damage"
assert scrolling[0] - still[0] > 10, "motion forgives it"
PY
