#!/usr/bin/env bash
# Checks that the parts a web player needs compile for wasm32: bitstream, entropy coding, sound, video and tokens,
# without ONNX Runtime.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/wasm-rust.sh

cargo check "${wasm_std[@]}" -p siskin-core --no-default-features --features audio,video,rten \
  --target wasm32-unknown-unknown --target-dir "$wasm_target_dir"
