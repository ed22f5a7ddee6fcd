#!/usr/bin/env bash
# Packs the web player for npm, with its module and the bundle that it decodes with, and opens the package to see that it is whole.
# usage: scripts/pack-web.sh FOLDER: the package is FOLDER/siskin-player-VERSION.tgz
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(cd "$1" && pwd) stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp web/player/*.js web/player/*.d.ts web/player/package.json web/player/README.md web/player/siskin.wasm "$stage/"
cp LICENSE-MIT LICENSE-APACHE "$stage/"
mkdir -p "$stage/bundles/speech-24k"
# A player fetches all but the encoder, which is for recordings.
for file in manifest.json decoder.onnx encoder.onnx codebooks.safetensors entropy.safetensors; do
  cp "models/bundles/speech-24k/$file" "$stage/bundles/speech-24k/"
done
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
grep -q "\"version\": \"$version\"" web/player/package.json || { echo "pack-web: web/player/package.json is not of version $version" >&2; exit 1; }
(cd "$stage" && npm pack --silent --pack-destination "$out" >/dev/null)
package=$out/siskin-player-$version.tgz
packed=$(tar -tzf "$package")
for file in siskin-player.js siskin-player.d.ts audio.js audio.d.ts video.js recorder.js element.js places.js worker.js session.js worklet.js \
  recorder-worker.js capture.js siskin.js siskin.d.ts siskin.wasm bundles/speech-24k/manifest.json bundles/speech-24k/decoder.onnx; do
  grep -qx "package/$file" <<<"$packed" || { echo "pack-web: $package lacks $file" >&2; exit 1; }
done
printf '%s: %d bytes\n' "$package" "$(wc -c < "$package")" >&2
