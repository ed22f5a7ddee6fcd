#!/usr/bin/env bash
# Checks that the parts a web player needs compile for wasm32: bitstream, entropy coding, audio decoding and tokens,
# without ONNX Runtime. Where this Rust has no standard library for wasm32, Debian's rustc-web is unpacked (not
# installed) into .siskin/wasm, with the library's sources, from which cargo builds it.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/.siskin/wasm
target=wasm32-unknown-unknown
arguments=(-p siskin-core --no-default-features --features audio --target "$target" --target-dir "$root/target")

if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
  cargo check "${arguments[@]}"
  exit
fi
if [ ! -x "$root/usr/bin/rustc" ]; then
  command -v apt-get >/dev/null || { echo "check-wasm: no standard library for $target, and no Debian to take one from" >&2; exit 1; }
  mkdir -p "$root/debs"
  apt-get update -q >/dev/null
  # The library package carries the compiler's version in its name, and needs the LLVM that the compiler was linked with.
  version=$(apt-cache policy rustc-web | sed -n "s/^ *Candidate: \([0-9]*\.[0-9]*\).*/\1/p")
  llvm=$(apt-cache depends "libstd-rust-web-$version" | sed -n "s/.*Depends: \(libllvm[0-9]*\)$/\1/p" | head -n 1)
  (cd "$root/debs" && apt-get download -q rustc-web "libstd-rust-web-$version" libstd-rust-web-dev rust-web-src rust-web-llvm ${llvm:+"$llvm"} >&2)
  for package in "$root"/debs/*.deb; do dpkg -x "$package" "$root"; done
fi
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib
export RUSTC=$root/usr/bin/rustc
# Building the standard library is an unstable option of cargo; only this check uses it.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="--sysroot $root/usr"
cargo check -Z build-std=std,panic_abort "${arguments[@]}"
