#!/usr/bin/env bash
# FFmpeg 7.1 makes NV12 green where the two names of the matrix of BT.601 meet.
#
# Tools:     ffmpeg 7.1.5 of Debian 13, fetched by mmdebstrap. 5.1 of Debian 12, and 7.0.2 and 9.0.2 of imageio-ffmpeg keep the colors.
# Expected:  bt470bg and smpte170m are the same matrix. Frames of the one that are asked for as the other (-colorspace, which
#            FFmpeg negotiates since 7.1, and which puts a `scale` in) keep their samples.
# Found:     planar 4:2:0 keeps them. Of NV12 the chroma comes out as zeros: the picture is green. No warning. `scale` itself names
#            its output bt470bg when it is asked for BT.601 in any of its names, so -colorspace smpte170m after it is enough.
# Output:    yuv420p 90 240, nv12 0 0
# Meaning:   name the frames by setparams=colorspace=smpte170m where the matrix is BT.601 and the format NV12.
set -euo pipefail
command -v mmdebstrap >/dev/null || { echo "needs mmdebstrap, and root" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
# Its libraries are of no use to another Debian, so it runs in a small one of its own.
mmdebstrap --quiet --variant=apt --include=ffmpeg trixie "$folder/root"
ffmpeg() { chroot "$folder/root" /usr/bin/ffmpeg "$@"; }
found=
for format in yuv420p nv12; do
  # The first samples of chroma, which lie a plane of one apart or beside each other.
  case $format in yuv420p) apart=1024 ;; nv12) apart=1 ;; esac
  samples=$(ffmpeg -v error -f lavfi -i "color=red:s=64x64:d=0.04,format=$format,setparams=colorspace=bt470bg:range=tv" \
    -colorspace smpte170m -f rawvideo - | od -An -v -tu1 -w1 -j 4096 | sed -n "1p; $((apart + 1))p" | tr -d ' ' | tr '\n' ' ')
  found="$found, $format ${samples% }"
done
echo "$(ffmpeg -version | head -n 1 | cut -d' ' -f1-3): ${found#, }"
[ "$found" = ", yuv420p 90 240, nv12 0 0" ] || { echo "the behavior has changed" >&2; exit 1; }
