#!/usr/bin/env bash
# Installs the packages of other ecosystems as their users do, each into a fresh root or environment, and uses what was installed
# from where nothing of this checkout is found.
# usage: packaging/try-packages.sh crate    `cargo install` of the program from the packed crates
#        packaging/try-packages.sh wheel    the wheel that ./x wheel built, with pip, in an environment of its own
#        packaging/try-packages.sh npm      the package that ./x web packed, with npm, in a folder of its own
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD cache=$PWD/.siskin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
home=$work/home
mkdir "$home"

die() { echo "try-packages: $*" >&2; exit 1; }
# A command as a user's shell runs it, who has nothing but what was installed.
clean() { (cd "$home" && env -i HOME="$home" LANG=C.UTF-8 PATH="$work/root/bin:/usr/local/bin:/usr/bin:/bin" "$@"); }

version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1; }

# The crates as a registry would give them out, each in a folder of its own; cargo is told that they are in place of those there.
try_crate() {
  local crate name log=$work/cargo.log
  local patches=()
  # Without the test build of each alone: `cargo install` below compiles what was packed. Those that no registry gets are left out.
  cargo package --workspace --quiet --no-verify --allow-dirty --target-dir "$work/pack" || die "a crate cannot be packed"
  mkdir "$work/crates"
  for crate in "$work"/pack/package/*.crate; do tar -xzf "$crate" -C "$work/crates"; done
  for crate in "$work"/crates/*/; do
    name=$(basename "$crate" "-$(version)")
    patches+=(--config "patch.crates-io.$name.path=\"${crate%/}\"")
  done
  # Not optimized and where the tests build, so that the libraries of others need not be compiled again. `--path` takes what was
  # unpacked, and nothing of this checkout.
  if ! (cd "$work" && cargo install --quiet --debug --offline --path "crates/siskin-$(version)" --root "$work/root" \
    --target-dir "${CARGO_TARGET_DIR:-$root/target}" "${patches[@]}") 2> "$log"; then
    cat "$log" >&2
    die "cargo install failed"
  fi
  clean siskin --version
  # A crate carries no models: the program says what is missing and where it looked.
  if clean siskin encode -q "$root/testdata/clips/speech-be.flac" a.mka 2> "$work/said"; then
    [ -e /usr/share/siskin ] || [ -e /usr/local/share/siskin ] || die "it encoded without a model"
    echo "try-packages: skipped: what it says without a model, since a Siskin is installed here" >&2
  else
    grep -q 'speech-24k' "$work/said" || die "it does not say what is missing: $(cat "$work/said")"
  fi
  mkdir -p "$home/.local/share/siskin/bundles"
  cp -r models/bundles/speech-24k "$home/.local/share/siskin/bundles/"
  clean ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$cache/ort/libonnxruntime.so}" siskin encode -q -y "$root/testdata/clips/speech-be.flac" a.mka
  clean ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$cache/ort/libonnxruntime.so}" siskin decode -q -y a.mka a.wav
  [ -s "$home/a.wav" ] || die "nothing was decoded"
  echo "the program installs from its packed crates, encodes and decodes"
}

try_wheel() {
  local wheel python=$work/venv/bin/python
  wheel=$(compgen -G "$cache/wheels/siskin-$(version)-*.whl") || die "there is no wheel of $(version): ./x wheel builds it"
  # Debian's own Python, and of its packages none.
  /usr/bin/python3 -m venv "$work/venv"
  "$python" -m pip install -q --disable-pip-version-check "${wheel}[runtime]"
  cp "$root/testdata/clips/speech-be.flac" "$home/"
  clean "$python" - <<'PY'
import numpy as np
import siskin

assert "site-packages" in siskin.__file__, siskin.__file__
samples = (0.1 * np.random.default_rng(1).standard_normal(24_000)).astype(np.float32)
codes = siskin.Encoder().encode(samples)
sound = siskin.Decoder().decode(codes, len(samples))
assert len(sound) == 24_000 and np.abs(sound).max() > 0.01, (len(sound), np.abs(sound).max())
print(f"siskin {siskin.__version__}: a second as {codes.shape[0]} x {codes.shape[1]} codes and back")
PY
  echo "the wheel installs, encodes and decodes"
}

try_npm() {
  local package
  package=$cache/web/siskin-player-$(version).tgz
  [ -f "$package" ] || die "there is no $package: ./x web packs it"
  (cd "$home" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --offline "$package") || die "npm install failed"
  cp testdata/compat/speech-24k-0.2.0.mka "$home/"
  cat > "$home/decode.mjs" <<'JS'
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { Siskin, SiskinEncoder, decodeAll, filesOfEncoder } from "siskin-player/siskin.js";

const { resolve } = createRequire(import.meta.url);
const read = async (name) => new Uint8Array(await readFile(resolve(`siskin-player/${name}`)));
const siskin = await Siskin.instantiate(await read("siskin.wasm"));
const manifest = await read("bundles/speech-24k/manifest.json");
const names = filesOfEncoder(manifest);
siskin.openBundle(manifest, new Map(await Promise.all(names.map(async (name) => [name, await read(`bundles/speech-24k/${name}`)]))));
const { samples, about } = decodeAll(siskin, new Uint8Array(await readFile("speech-24k-0.2.0.mka")));
const encoder = new SiskinEncoder(siskin);
encoder.push(samples.subarray(0, 24000));
const file = encoder.finish();
const again = decodeAll(siskin, file).samples;
if (samples.length !== about.samples || again.length !== 24000 || !again.some((s) => Math.abs(s) > 0.05)) throw new Error("that is not what was in the file");
console.log(`${samples.length} samples decoded; a second of them in ${file.length} bytes and back`);
JS
  clean "$(command -v node)" decode.mjs
  # Every script that another one imports or names is in the package.
  (cd "$home/node_modules/siskin-player" && grep -ohE '(from |URL\(|at\()"\./[a-z-]+\.js"' ./*.js | grep -oE '[a-z-]+\.js' | sort -u |
    while read -r file; do [ -f "$file" ] || { echo "try-packages: the package lacks $file" >&2; exit 1; }; done)
  echo "the npm package installs, decodes and encodes in Node"
}

case "${1:-}" in
  crate) try_crate ;;
  wheel) try_wheel ;;
  npm) try_npm ;;
  *) sed -n 's/^# usage: //p; s/^#        //p' "$0" >&2; exit 2 ;;
esac
