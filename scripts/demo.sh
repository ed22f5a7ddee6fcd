#!/usr/bin/env bash
# The main job on the clips of testdata: encode, mux and decode with the CLI and with GStreamer, compare, report.
# usage: scripts/demo.sh SISKIN FOLDER, with the plugin on GST_PLUGIN_PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
siskin=$1 out=$2
bitrate=6000

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

rm -rf "$out" && mkdir -p "$out"
clips=(testdata/clips/*.flac)
[ -f "${clips[0]}" ] || die "no clips in testdata/clips"

say "CLI: encode at $bitrate b/s, decode, compare"
for clip in "${clips[@]}"; do
  name=$(basename "$clip" .flac)
  "$siskin" encode --quiet -y "$clip" "$out/$name.mka" --bitrate $bitrate
  "$siskin" decode --quiet -y "$out/$name.mka" "$out/$name.wav"
  "$siskin" decode --quiet -y "$out/$name.mka" "$out/$name.cli.f32"
  printf "%s\n" "$name"
  "$siskin" compare "$clip" "$out/$name.mka"
done

say "GStreamer: the same files through decodebin, nothing named, give the same samples"
for clip in "${clips[@]}"; do
  name=$(basename "$clip" .flac)
  gst-launch-1.0 -q filesrc location="$out/$name.mka" ! decodebin ! audio/x-raw,format=F32LE ! \
    filesink location="$out/$name.gst.f32"
  cmp "$out/$name.cli.f32" "$out/$name.gst.f32" || die "$name: CLI and GStreamer decode to different samples"
  printf '%s: %s samples, equal\n' "$name" $(($(stat -c %s "$out/$name.gst.f32") / 4))
  rm "$out/$name.cli.f32" "$out/$name.gst.f32"
done

say "GStreamer: encode and mux ${clips[0]}"
name=$(basename "${clips[0]}" .flac)-gst
gst-launch-1.0 -q filesrc location="${clips[0]}" ! decodebin ! audioconvert ! audioresample ! \
  siskinaudioenc bitrate=$bitrate ! siskinmux ! filesink location="$out/$name.mka"
"$siskin" info "$out/$name.mka"
"$siskin" verify "$out/$name.mka"
ffprobe -v error -show_entries stream=index,codec_type,codec_tag_string,sample_rate,channels:format=format_name,duration,bit_rate \
  -of compact "$out/$name.mka"

say "GStreamer: play it with playbin, into a sink that keeps the sound"
# gst-play-1.0 exits with 0 when nothing could be played, so what counts is the samples.
"$siskin" decode --quiet -y "$out/$name.mka" "$out/$name.cli.f32"
gst-play-1.0 --quiet --no-interactive \
  --audiosink="audioconvert ! audio/x-raw,format=F32LE,channels=1 ! filesink location=\"$out/$name.play.f32\"" "$out/$name.mka"
cmp "$out/$name.cli.f32" "$out/$name.play.f32" || die "$name: playbin plays other samples than the CLI decodes"
printf '%s: %s samples, equal\n' "$name" $(($(stat -c %s "$out/$name.play.f32") / 4))
rm "$out/$name.cli.f32" "$out/$name.play.f32"

say "Files are in $out"
ls -l "$out"
