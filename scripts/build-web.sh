#!/usr/bin/env bash
# Builds the web player's module, web/player/siskin.wasm, from web/module. Where this Rust has no standard library for
# wasm32 it takes Debian's, as scripts/check-wasm.sh does.
# usage: scripts/build-web.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/wasm-rust.sh

# Vectors of 128 bits: in all browsers since 2023. Without them a frame takes about four times as long.
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="${CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS:-} -C target-feature=+simd128"
cargo build "${wasm_std[@]}" -p siskin-web --lib --profile web --target wasm32-unknown-unknown --target-dir "$wasm_target_dir" "$@"
cp "$wasm_target_dir/wasm32-unknown-unknown/web/siskin_web.wasm" web/player/siskin.wasm
printf 'web/player/siskin.wasm: %d bytes, %d with gzip\n' "$(wc -c < web/player/siskin.wasm)" "$(gzip -9c web/player/siskin.wasm | wc -c)" >&2
