#!/usr/bin/env bash
# Makes a Debian package of a stage that packaging/stage.sh has laid out under /usr.
# usage: packaging/deb.sh STAGE VERSION PLUGIN_FOLDER OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$(realpath "$1") version=$2 plugins=$3 out=$4
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$stage/DEBIAN" "$out"
# dpkg-shlibdeps wants a source package around it, and refuses a private library that no package is said to own.
mkdir -p "$work/debian"
printf 'Source: siskin\n\nPackage: siskin\nArchitecture: any\n' > "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O --warnings=0 \
  "$stage/usr/bin/siskin" "$stage$plugins/libgstsiskin.so" "$stage$(dirname "$plugins")/libsiskin.so.1" "$stage/usr/lib/siskin/libonnxruntime.so")
depends=${depends#shlibs:Depends=}

sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@DEPENDS@/$depends/" \
  -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$stage" | cut -f1)/" packaging/control.in > "$stage/DEBIAN/control"
(cd "$stage" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$stage/DEBIAN/md5sums"
dpkg-deb --root-owner-group -Zxz --build "$stage" "$out/siskin_${version}_$architecture.deb" >&2
