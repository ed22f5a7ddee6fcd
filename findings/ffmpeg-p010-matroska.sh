#!/usr/bin/env bash
# FFmpeg 5.1 writes raw P010 video into Matroska without an error and reads it back as 15-bit RGB.
#
# Tools:     ffmpeg and ffprobe 5.1 (Debian 12).
# Expected:  raw video in Matroska keeps its pixel format, or the muxer refuses one that it cannot describe, as it refuses raw
#            video at all unless -allow_raw_vfw is given.
# Found:     yuv420p and NV12 come back as they went in. P010, what hardware decoders give for 10-bit video, comes back as
#            rgb555le: same bytes, another picture, with the color space of the YUV picture still stated. No warning.
# Output:    yuv420p yuv420p, nv12 nv12, p010le rgb555le
# Meaning:   keep 10-bit pictures in FFV1 (yuv420p10le) or another lossless codec; do not test 10-bit input with raw Matroska.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v ffmpeg >/dev/null || { echo "needs ffmpeg" >&2; exit 2; }
found=
for format in yuv420p nv12 p010le; do
  ffmpeg -v error -f lavfi -i "testsrc2=s=64x64:r=5:d=0.4,format=$format" -colorspace bt709 -c:v rawvideo -allow_raw_vfw 1 \
    "$format.mkv" 2> messages
  [ -s messages ] && { echo "messages: $(cat messages)" >&2; exit 1; }
  found="$found, $format $(ffprobe -v error -show_entries stream=pix_fmt -of csv=p=0 "$format.mkv")"
done
echo "$(ffmpeg -version | head -n 1 | cut -d' ' -f1-3): ${found#, }"
[ "$found" = ", yuv420p yuv420p, nv12 nv12, p010le rgb555le" ] || { echo "the behavior has changed" >&2; exit 1; }
