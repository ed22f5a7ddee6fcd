#!/usr/bin/env bash
# Installs where nothing of this checkout can be seen afterwards, and uses what was installed without any variable: the
# program, the plugin, the library for C, the manual pages. Needs root and an overlay file system; says so and leaves where
# it may not mount.
# usage: packaging/try.sh PACKAGE.deb
#        packaging/try.sh BUILT    `./x install` of what cargo built into that folder, below /usr/local and below a home
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$here")
what=$(readlink -f "$1")
if [ -z "${IN_NAMESPACE:-}" ]; then
  if [ "$(id -u)" -ne 0 ] || ! unshare -m true 2>/dev/null; then
    echo "skipped: only root can try an installation in a mount namespace of its own" >&2
    exit 0
  fi
  IN_NAMESPACE=1 exec unshare -m "$0" "$what"
fi

# Everything that is written below these folders is gone with the namespace; dpkg's database is below /var.
work=$(mktemp -d)
trap 'cd /; umount -l "$work" && rmdir "$work"' EXIT
mount -t tmpfs tmpfs "$work"
for folder in /usr /var /etc; do
  mkdir -p "$work/up$folder" "$work/tmp$folder"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=$work/up$folder,workdir=$work/tmp$folder" "$folder" ||
    { echo "skipped: no overlay can be mounted over $folder" >&2; exit 0; }
done
home=$work/home clip=$work/clip.flac
mkdir "$home"
cp "$root/testdata/clips/speech-be.flac" "$clip"

# Runs a command as a user's shell would, with programs below the prefix $1 on its PATH.
clean() {
  local prefix=$1
  shift
  env -i HOME="$home" PATH="$prefix/bin:/usr/local/bin:/usr/bin:/bin" "$@"
}

# Uses what lies below the prefix $1, whose libraries are in $2.
use() {
  local prefix=$1 libraries=$2 file bytes
  # The checkout is gone, as on a user's machine.
  mount -t tmpfs tmpfs "$root"
  mkdir -p "$work/use"
  cd "$work/use"
  clean "$prefix" siskin --version
  clean "$prefix" siskin encode -q "$clip" a.mka
  clean "$prefix" siskin decode -q a.mka a.wav
  clean "$prefix" siskin compare "$clip" a.mka
  clean "$prefix" siskin models list
  clean "$prefix" gst-inspect-1.0 siskin > /dev/null
  clean "$prefix" gst-launch-1.0 -q filesrc location="$clip" ! decodebin ! audioconvert ! audioresample ! siskinaudioenc \
    ! siskinmux ! filesink location=b.mka
  clean "$prefix" siskin verify b.mka
  clean "$prefix" gst-launch-1.0 -q filesrc location=b.mka ! decodebin ! audioconvert ! audio/x-raw,format=S16LE ! wavenc \
    ! filesink location=b.wav
  clean "$prefix" gst-launch-1.0 -q videotestsrc num-buffers=25 ! video/x-raw,width=64,height=48 ! siskinvideoenc \
    ! siskinmux ! filesink location=c.mkv
  clean "$prefix" siskin verify c.mkv
  clean "$prefix" siskin decode -q b.mka b.f32
  play "$prefix"
  # But for their heads.
  bytes=$(($(stat -c %s a.wav) - $(stat -c %s b.wav)))
  [ "${bytes#-}" -lt 100 ] || { echo "the plugin's WAV is $bytes bytes shorter than the program's" >&2; exit 1; }
  printf '#include <siskin.h>\n#include <stdio.h>\nint main(void) { return puts(siskin_version()) < 0; }\n' > version.c
  # shellcheck disable=SC2046 # flags of a compiler
  cc -o version version.c $(PKG_CONFIG_PATH=$libraries/pkgconfig pkg-config --cflags --libs siskin)
  case $libraries in
    # A user's own libraries are on no path of the loader.
    "$home"/*) clean "$prefix" LD_LIBRARY_PATH="$libraries" ./version ;;
    *) clean "$prefix" ./version ;;
  esac
  for file in man/man1/siskin-encode.1.gz bash-completion/completions/siskin doc/siskin/copyright; do
    [ -s "$prefix/share/$file" ] || { echo "there is no $prefix/share/$file" >&2; exit 1; }
  done
  cd "$work"
  rm -rf use "$home/.cache"
  umount "$root"
}

# Plays b.mka and c.mkv by everything that plays. Some of it exits with 0 when nothing could be played, so what counts is what
# arrives: the samples that the program decodes, and 25 pictures.
play() {
  local prefix=$1 player uri option
  local sound="audioconvert ! audio/x-raw,format=F32LE,channels=1 ! filesink location=\"$PWD/sound\""
  local pictures="videoconvert ! video/x-raw,format=I420 ! filesink location=\"$PWD/pictures\""
  for player in decodebin decodebin3 playbin playbin3 gst-play gst-play3; do
    rm -f sound pictures
    uri=file://$PWD
    case $player in
      decodebin*)
        clean "$prefix" timeout 60 gst-launch-1.0 -q filesrc location=b.mka ! "$player" ! audio/x-raw,format=F32LE ! filesink location=sound
        clean "$prefix" timeout 60 gst-launch-1.0 -q filesrc location=c.mkv ! "$player" ! videoconvert ! video/x-raw,format=I420 \
          ! filesink location=pictures
        ;;
      playbin*)
        clean "$prefix" timeout 60 gst-launch-1.0 -q "$player" uri="$uri/b.mka" audio-sink="$sound"
        clean "$prefix" timeout 60 gst-launch-1.0 -q "$player" uri="$uri/c.mkv" video-sink="$pictures"
        ;;
      gst-play*)
        option=()
        [ "$player" = gst-play ] || option=(--use-playbin3)
        # With one sink each: one that gets nothing would begin its file anew.
        clean "$prefix" timeout 60 gst-play-1.0 --quiet --no-interactive "${option[@]}" --audiosink="$sound" b.mka
        clean "$prefix" timeout 60 gst-play-1.0 --quiet --no-interactive "${option[@]}" --videosink="$pictures" c.mkv
        ;;
    esac
    cmp b.f32 sound || { echo "$player plays other samples than the program decodes" >&2; exit 1; }
    [ "$(stat -c %s pictures)" -eq $((25 * 64 * 48 * 3 / 2)) ] || { echo "$player does not play 25 pictures" >&2; exit 1; }
  done
}

# Fails if one of the folders still holds something of ours.
expect_gone() {
  local left
  left=$(find "$@" -path '*siskin*' -print -quit 2>/dev/null)
  [ -z "$left" ] || { echo "left after removal: $left" >&2; exit 1; }
}

try_package() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$work/siskin.deb" > "$work/apt.log" 2>&1 ||
    { cat "$work/apt.log" >&2; exit 1; }
  use /usr "$(dirname "$(pkg-config --variable=pluginsdir gstreamer-1.0)")"
  dpkg --verify siskin
  apt-get purge -y -q siskin > "$work/apt.log" 2>&1
  expect_gone /usr
  echo "the package installs, encodes, decodes, plays through GStreamer, and goes"
}

try_install() {
  local prefix libraries
  # Cargo and Rust stay those of the user.
  export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} HOME=$home
  for prefix in /usr/local "$home/.local"; do
    SISKIN_BUILT=$what "$root/x" install --prefix "$prefix"
    libraries=$prefix$(pkg-config --variable=pluginsdir gstreamer-1.0 | sed "s|^$(pkg-config --variable=prefix gstreamer-1.0)||; s|/[^/]*$||")
    use "$prefix" "$libraries"
    "$root/x" uninstall --prefix "$prefix"
    expect_gone /usr "$home"
  done
  echo "./x install installs, encodes, decodes, plays through GStreamer, and ./x uninstall removes it"
}

if [ -d "$what" ]; then
  try_install
else
  cp "$what" "$work/siskin.deb"
  try_package
fi
