#!/usr/bin/env bash
# Lays out everything that an installation has under a folder, as it will lie under the prefix. `./x install` and
# `./x deb` call it.
# usage: packaging/stage.sh TARGET_FOLDER PREFIX PLUGIN_FOLDER ONNXRUNTIME STAGE
#   TARGET_FOLDER        what cargo built: siskin, libgstsiskin.so and libsiskin_capi.so
#   PREFIX               such as /usr/local
#   PLUGIN_FOLDER        where GStreamer looks, below PREFIX
#   ONNXRUNTIME          libonnxruntime.so; its licences and its providers lie beside it
#   STAGE                STAGE/PREFIX is written
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1 prefix=$2 plugins=$3 onnxruntime=$4 stage=$5
into=$stage$prefix
umask 022

rm -rf "$stage"
install -Ds -m 755 "$target/siskin" "$into/bin/siskin"
install -Ds -m 644 "$target/libgstsiskin.so" "$stage$plugins/libgstsiskin.so"

# The library for C, where GStreamer's folder says that libraries lie.
libraries=$(dirname "$plugins")
install -Ds -m 644 "$target/libsiskin_capi.so" "$stage$libraries/libsiskin.so.1"
ln -s libsiskin.so.1 "$stage$libraries/libsiskin.so"
install -D -m 644 capi/include/siskin.h "$into/include/siskin.h"
mkdir -p "$stage$libraries/pkgconfig"
sed -e "s|@PREFIX@|$prefix|" -e "s|@LIBRARIES@|$libraries|" -e "s|@VERSION@|$("$target/siskin" --version | cut -d' ' -f2)|" \
  packaging/siskin.pc.in > "$stage$libraries/pkgconfig/siskin.pc"
mkdir -p "$into/share/gstreamer-1.0/presets"
install -m 644 gst-plugins/presets/*.prs "$into/share/gstreamer-1.0/presets/"

# Beside the program's bin folder, and below the plugin's prefix: that is where the program and the plugin look.
install -D -m 644 "$onnxruntime" "$into/lib/siskin/libonnxruntime.so"
for provider in "$(dirname "$onnxruntime")"/libonnxruntime_providers_*.so; do
  if [ -f "$provider" ]; then install -m 644 "$provider" "$into/lib/siskin/"; fi
done
mkdir -p "$into/share/siskin/bundles"
cp -r models/bundles/. "$into/share/siskin/bundles/"

# The web player, which `siskin share` puts into pages. Without its module, which `./x web` builds, there is no use for the rest.
if [ -f web/player/siskin.wasm ]; then
  for file in web/player/*.js web/player/share.html web/player/siskin.wasm; do
    install -D -m 644 "$file" "$into/share/siskin/player/$(basename "$file")"
  done
else
  echo "stage: no web/player/siskin.wasm, which ./x web builds: \`siskin share\` will have no player" >&2
fi

man=$into/share/man/man1
mkdir -p "$man"
"$target/siskin" man "$man"
gzip -9nf "$man"/*.1
complete() {
  mkdir -p "$(dirname "$into/share/$2")"
  "$target/siskin" completions "$1" > "$into/share/$2"
}
complete bash bash-completion/completions/siskin
complete fish fish/vendor_completions.d/siskin.fish
# zsh looks in the first folder under /usr/local and in the second under /usr.
complete zsh "zsh/$([ "$prefix" = /usr ] && echo vendor-completions || echo site-functions)/_siskin"

doc=$into/share/doc/siskin
install -D -m 644 packaging/copyright "$doc/copyright"
gzip -9nc CHANGELOG.md > "$doc/changelog.gz"
mkdir -p "$doc/onnxruntime"
for name in LICENSE ThirdPartyNotices.txt; do
  notice=$(dirname "$onnxruntime")/$name
  if [ -f "$notice" ]; then gzip -9nc "$notice" > "$doc/onnxruntime/$name.gz"; fi
done
python3 scripts/third_party.py siskin gst-plugin-siskin siskin-capi | gzip -9n > "$doc/third-party-crates.txt.gz"
chmod -R u=rwX,go=rX "$stage"
