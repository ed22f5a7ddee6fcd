#!/usr/bin/env bash
# FFmpeg 5.1 says of two thirds of the Opus packets in an MP4 that they last longer or shorter than the 20 ms that each of them holds,
# where its input had times in milliseconds, as Matroska has; FFmpeg 9 says it of one.
#
# Tools:     ffmpeg and ffprobe 5.1.9-0+deb12u1 (Debian 12); FFmpeg 9.0.2 of PyPI's imageio-ffmpeg 0.8.1.
# Expected:  960 samples of each packet but the last, since the encoder made packets of 20 ms and MP4's clock counts samples.
# Found:     the rounding of the input's times goes through the encoder into the lengths of its packets: 952, 960 and 968 samples. The sound
#            itself is whole.
# Output:    5.1: 62x952 77x960 62x968, 9.0: 1x952 200x960 (without the last packet, which is shorter for a reason)
# Meaning:   a length that is less than what a packet holds says nothing of what an encoder padded, but for the last packet: who cuts
#            each packet to its length loses 8 samples of every third one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
case $(ffmpeg -version 2>/dev/null | head -n 1) in
  "ffmpeg version 5.1"*) ;;
  *) echo "needs FFmpeg 5.1, Debian 12's" >&2; exit 2 ;;
esac
pip download -q --disable-pip-version-check --no-deps --only-binary=:all: imageio-ffmpeg==0.8.1
python3 -m zipfile -e imageio_ffmpeg-*.whl wheel
newer=$(echo wheel/imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-*)
chmod +x "$newer"
lengths() {
  "$1" -v error -i a.mkv -c:a libopus "$2"
  ffprobe -v error -show_entries packet=duration -of csv=p=0 "$2" | tr -d , | grep . | sed '$d' | sort -n | uniq -c | awk '{print $1 "x" $2}' |
    paste -sd ' '
}
ffmpeg -v error -f lavfi -i sine=500:r=48000:d=4 -c:a aac a.mkv
found="5.1: $(lengths ffmpeg old.mp4), 9.0: $(lengths "$newer" new.mp4)"
echo "$(ffmpeg -version | head -n 1 | cut -d' ' -f1-3), $("$newer" -version | head -n 1 | cut -d' ' -f1-3): $found"
[ "$found" = "5.1: 62x952 77x960 62x968, 9.0: 1x952 200x960" ] || { echo "the behavior has changed" >&2; exit 1; }
