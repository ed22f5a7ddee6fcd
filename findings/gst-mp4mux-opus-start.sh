#!/usr/bin/env bash
# Opus in MP4 from GStreamer 1.22 loses its first 292 ms in FFmpeg, old and new; in Matroska from the same encoder nothing is lost.
#
# Tools:     gst-launch-1.0 1.22.0 with the plugin isomp4 of gstreamer1.0-plugins-good 1.22.0-5+deb12u4 (Debian 12); FFmpeg 9.0.2 of
#            PyPI's imageio-ffmpeg 0.8.1.
# Expected:  the two muxers state the same delay of the encoder, 312 samples, and the same sound comes back of both; opusenc's end is
#            trimmed or not, which is 168 samples here.
# Found:     the box `dOps` has the number in the order of bytes that Ogg has (38 01), where MP4's is the other one (01 38). A reader that
#            goes by the box drops 14,337 samples. GStreamer's own demuxer of that version reads it as it was written.
# Output:    in 50400, mp4 36543 box 3801, mka 50400
# Meaning:   check the start of Opus in MP4 against the times of its packets before believing the box; a number that is longer than an
#            Opus packet may be (5,760 samples) is meant the other way round.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v gst-launch-1.0 >/dev/null || { echo "needs gstreamer1.0-tools and gstreamer1.0-plugins-base" >&2; exit 2; }
apt-get download -qq gstreamer1.0-plugins-good=1.22.0-5+deb12u4 2>/dev/null
dpkg -x gstreamer1.0-plugins-good*.deb root
# Before the system's own, should that be another one.
export GST_PLUGIN_PATH=$folder/root/usr/lib/x86_64-linux-gnu/gstreamer-1.0 GST_REGISTRY=$folder/registry.bin
pip download -q --disable-pip-version-check --no-deps --only-binary=:all: imageio-ffmpeg==0.8.1
python3 -m zipfile -e imageio_ffmpeg-*.whl wheel
ffmpeg=$(echo wheel/imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-*)
chmod +x "$ffmpeg"

# 105 buffers of 10 ms: no whole number of packets of 20 ms.
for kind in mp4:mp4mux mka:matroskamux; do
  gst-launch-1.0 -q audiotestsrc samplesperbuffer=480 num-buffers=105 ! audio/x-raw,rate=48000,channels=1,format=S16LE ! opusenc \
    ! "${kind#*:}" ! filesink location="a.${kind%:*}"
done
samples() { echo $(($("$ffmpeg" -v error -i "$1" -f s16le - | wc -c) / 2)); }
at=$(grep -abo dOps a.mp4 | cut -d: -f1)
box=$(dd if=a.mp4 bs=1 skip=$((at + 6)) count=2 status=none | od -An -tx1 | tr -d ' ')
found="in $((480 * 105)), mp4 $(samples a.mp4) box $box, mka $(samples a.mka)"
echo "$(gst-launch-1.0 --version | sed -n 2p), $("$ffmpeg" -version | head -n 1 | cut -d' ' -f1-3): $found"
[ "$found" = "in 50400, mp4 36543 box 3801, mka 50400" ] || { echo "the behavior has changed" >&2; exit 1; }
