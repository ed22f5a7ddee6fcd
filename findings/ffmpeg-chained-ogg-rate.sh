#!/usr/bin/env bash
# FFmpeg times every recording of a chained Ogg file in the first one's sample rate.
#
# Tools:     ffmpeg and ffprobe 5.1 (Debian 12); libvorbis.
# Expected:  recordings of Ogg may follow each other in one file (RFC 3533, section 4: chaining), each with a header of its own. Ten
#            seconds at 44.1 kHz and ten at 22.05 kHz behind them last ten seconds each, by the times of the packets too.
# Found:     times count the samples of the recording that they are in, and are given in ticks of the first one's rate: the second
#            recording ends after 5 s by the length that ffprobe states, or after 20 s in the other order, though all its samples are
#            decoded at their right rate. Packets' lengths are those of the first recording's header too, so times go back with every
#            page. A filter that fills gaps by time (aresample=async) cuts and pads such sound.
# Output:    44100 22050: 5.0 of 20.0, 22050 44100: 20.0 of 20.0, 44100 44100: 10.0 of 20.0
# Meaning:   go by the number of samples behind a change of the rate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v ffmpeg >/dev/null || { echo "needs ffmpeg" >&2; exit 2; }
for rate in 44100 22050; do
  ffmpeg -v error -f lavfi -i "sine=300:r=$rate:d=10" -c:a libvorbis "$rate.ogg"
done
# What a file is said to last, and what its samples last, in seconds.
stated() { ffprobe -v error -show_entries format=duration -of csv=p=0 "$1" | xargs printf '%.1f'; }
lasts() { ffmpeg -v error -i "$1" -f s16le -ac 1 -ar 8000 - | wc -c | awk '{ printf "%.1f", $1 / 16000 }'; }
found=
for pair in "44100 22050" "22050 44100" "44100 44100"; do
  read -r first second <<< "$pair"
  cat "$first.ogg" "$second.ogg" > chain.ogg
  found="$found, $pair: $(stated chain.ogg) of $(lasts chain.ogg)"
done
echo "$(ffmpeg -version | head -n 1 | cut -d' ' -f1-3): ${found#, }"
[ "$found" = ", 44100 22050: 5.0 of 20.0, 22050 44100: 20.0 of 20.0, 44100 44100: 10.0 of 20.0" ] || { echo "the behavior has changed" >&2; exit 1; }
