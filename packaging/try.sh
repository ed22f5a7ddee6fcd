#!/usr/bin/env bash
# Installs a Debian package where nothing of this checkout can be seen, and uses it there without any variable: the program,
# the plugin, the manual pages. Needs root and an overlay file system; says so and leaves where it may not mount.
# usage: packaging/try.sh PACKAGE.deb
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
package=$(readlink -f "$1")
if [ -z "${IN_NAMESPACE:-}" ]; then
  if [ "$(id -u)" -ne 0 ] || ! unshare -m true 2>/dev/null; then
    echo "skipped: only root can try the package in a mount namespace of its own" >&2
    exit 0
  fi
  IN_NAMESPACE=1 exec unshare -m "$0" "$package"
fi

# Everything that is written below these folders is gone with the namespace; dpkg's database is below /var.
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
for folder in /usr /var /etc; do
  mkdir -p "$work/up$folder" "$work/tmp$folder"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=$work/up$folder,workdir=$work/tmp$folder" "$folder" ||
    { echo "skipped: no overlay can be mounted over $folder" >&2; exit 0; }
done
cp "$package" "$work/siskin.deb"
clip=$work/clip.flac
cp "$here/../testdata/clips/speech-be.flac" "$clip"
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$work/siskin.deb" > "$work/apt.log" 2>&1 ||
  { cat "$work/apt.log" >&2; exit 1; }
# The checkout is gone, as on a user's machine.
mount -t tmpfs tmpfs "$(readlink -f "$here/..")"

cd "$work"
clean() { env -i HOME="$work" PATH=/usr/local/bin:/usr/bin:/bin "$@"; }
clean siskin --version
clean siskin encode -q "$clip" a.mka
clean siskin decode -q a.mka a.wav
clean siskin compare "$clip" a.mka
clean siskin models list
clean gst-inspect-1.0 siskin
clean gst-launch-1.0 -q filesrc location="$clip" ! decodebin ! audioconvert ! audioresample ! siskinaudioenc ! siskinmux \
  ! filesink location=b.mka
clean siskin verify b.mka
clean gst-launch-1.0 -q filesrc location=b.mka ! decodebin ! audioconvert ! wavenc ! filesink location=b.wav
for file in /usr/share/man/man1/siskin-encode.1.gz /usr/share/bash-completion/completions/siskin \
  /usr/share/doc/siskin/copyright; do
  [ -s "$file" ] || { echo "the package has no $file" >&2; exit 1; }
done
dpkg --verify siskin
apt-get purge -y -q siskin > "$work/apt.log" 2>&1
[ -z "$(find /usr -path '*siskin*' -not -path "$work/*" -print -quit)" ] ||
  { echo "left after purge: $(find /usr -path '*siskin*')" >&2; exit 1; }
echo "the package installs, encodes, decodes, plays through GStreamer, and goes"
