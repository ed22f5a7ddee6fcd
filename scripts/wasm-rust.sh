# To be sourced in the root of a checkout: sets up cargo for wasm32-unknown-unknown.
#
# Where this Rust has no standard library for wasm32, Debian's rustc-web is unpacked (not installed) into .siskin/wasm, with
# the library's sources, from which cargo builds it, and LLVM's linker. Sets wasm_std, the options that cargo needs then,
# and wasm_target_dir.
# shellcheck shell=bash disable=SC2034,SC2054
wasm_root=$PWD/.siskin/wasm
wasm_target_dir=$wasm_root/target
wasm_std=()

unpack_wasm_rust() {
  command -v apt-get >/dev/null || { echo "wasm: no standard library for wasm32-unknown-unknown, and no Debian to take one from" >&2; return 1; }
  echo "wasm: unpacking Debian's rustc-web into .siskin/wasm" >&2
  mkdir -p "$wasm_root/debs"
  apt-get update -q >/dev/null
  # The library package carries the compiler's version in its name, and needs the LLVM that the compiler was linked with.
  local version llvm package
  version=$(apt-cache policy rustc-web | sed -n "s/^ *Candidate: \([0-9]*\.[0-9]*\).*/\1/p")
  llvm=$(apt-cache depends "libstd-rust-web-$version" | sed -n "s/.*Depends: libllvm\([0-9]*\)$/\1/p" | head -n 1)
  (cd "$wasm_root/debs" && apt-get download -q rustc-web "libstd-rust-web-$version" libstd-rust-web-dev rust-web-src rust-web-llvm ${llvm:+"libllvm$llvm" "lld-$llvm"} >&2)
  for package in "$wasm_root"/debs/*.deb; do dpkg -x "$package" "$wasm_root"; done
}

# From here on cargo runs the compiler that was unpacked.
use_wasm_rust() {
  LD_LIBRARY_PATH=$wasm_root/usr/lib/x86_64-linux-gnu:$wasm_root/usr/lib:$(echo "$wasm_root"/usr/lib/llvm-*/lib | tr ' ' :)
  export LD_LIBRARY_PATH
  export RUSTC=$wasm_root/usr/bin/rustc
}

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ]; then
  # A folder from before the linker was taken too is made anew.
  if [ ! -x "$wasm_root/usr/bin/rustc" ] || ! compgen -G "$wasm_root/usr/bin/wasm-ld-*" >/dev/null; then
    rm -rf "$wasm_root"
    unpack_wasm_rust
  fi
  use_wasm_rust
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(compgen -G "$wasm_root/usr/bin/wasm-ld-*" | head -n 1)
  # Building the standard library is an unstable option of cargo; only builds for wasm32 use it.
  export RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="--sysroot $wasm_root/usr"
  wasm_std=(-Z build-std=std,panic_abort)
fi
