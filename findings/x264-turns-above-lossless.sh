#!/usr/bin/env bash
# x264 needs six times the bytes for two pages that take turns at its default quality than for the same frames without any loss.
#
# Tools:     FFmpeg 9.0.2 with libx264, libsvtav1 and libaom, of imageio-ffmpeg 0.8.1 (PyPI), by the Python in $PYTHON or the PATH's.
# Guess before: a turn costs less than a twentieth of a keyframe with all of them, since each holds several references (x264 three).
#            A lossless file was not thought of; it would have been guessed to be the largest.
# Found:     at crf 23 x264 codes every second frame anew, 30 times. It makes them B frames, for each stands between two equal ones;
#            a single B frame is no reference, so nothing remembers the second page. Without B frames, and without the scene cuts
#            that become I frames, it is a twelfth, with 2 dB less (29 dB of luma). Of the lossless file x264 makes P frames alone.
#            Two pictures of soft waves with noise take 8 times as much with B frames as without, with half a dB more. SVT-AV1
#            codes each turn anew as well (35 dB), in its low-delay structures too; libaom does not (63 dB).
# Output:    x264 crf 23 1118083, lossless 187756, crf 23 without B frames and cuts 92539; SVT-AV1 1168452, libaom 41699
# Meaning:   pictures that alternate (left and right eye, short and long exposure, sprites that flicker) are not for the defaults of x264
#            or for SVT-AV1, and lossless is no upper end of the rate. A test set with such a clip favors whichever codec remembers longest.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$folder" imageio-ffmpeg==0.8.1
"$python" - "$folder" <<'PY'
import pathlib
import random
import stat
import subprocess
import sys
import zipfile

folder = pathlib.Path(sys.argv[1])
zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder)
ffmpeg = next((folder / "imageio_ffmpeg/binaries").glob("ffmpeg-*"))
ffmpeg.chmod(ffmpeg.stat().st_mode | stat.S_IXUSR)
WIDTH, HEIGHT, FRAMES = 480, 272, 60

# Words of twelve letters, 9 rows high, black and gray on white.
random.seed(5)
letters = [[[random.choice((20, 20, 90, 160, 235, 235)) for _ in range(4 + i % 4)] for _ in range(9)] for i in range(12)]

def page():
    rows = []
    for line in range(HEIGHT // 13 + 1):
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
    return b"".join(bytes(row) for row in rows[:HEIGHT])

pages = page(), page()
with open(folder / "turns.y4m", "wb") as file:
    file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F30:1 Ip A1:1 C420jpeg\n".encode())
    for frame in range(FRAMES):
        file.write(b"FRAME\n" + pages[frame % 2] + bytes([128]) * (WIDTH * HEIGHT // 2))

def coded(kind, options):
    subprocess.run([ffmpeg, "-y", "-hide_banner", "-loglevel", "error", "-i", folder / "turns.y4m", *options.split(),
                    "-threads", "1", "-f", kind, folder / "coded"], check=True, stderr=subprocess.DEVNULL)
    return (folder / "coded").stat().st_size

sizes = {
    "x264 crf 23": coded("h264", "-c:v libx264 -crf 23"),
    "x264 lossless": coded("h264", "-c:v libx264 -qp 0"),
    "x264 crf 23 without B frames and cuts": coded("h264", "-c:v libx264 -crf 23 -bf 0 -x264-params scenecut=0"),
    "SVT-AV1": coded("obu", "-c:v libsvtav1 -crf 35 -preset 8 -svtav1-params lp=1"),
    "libaom": coded("obu", "-c:v libaom-av1 -crf 30 -cpu-used 6"),
}
for name, size in sizes.items():
    print(name, size)
lossy, lossless, plain, svt, aom = sizes.values()
assert lossy > 3 * lossless, "lossy is far above lossless"
assert lossless > 1.5 * plain, "and without B frames and cuts below it"
assert svt > 10 * aom, "SVT-AV1 codes each turn anew, libaom does not"
PY
