#!/usr/bin/env bash
# Whether the library and the plugin compile for 64-bit ARM, and whether entropy coding, the container and the block codec give
# the same bytes there: their tests, with the golden vectors, run in QEMU. Networks and speed need a machine of that kind and are
# not looked at here.
# usage: scripts/check-aarch64.sh
#
# Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user, and says so where they are missing. Where this Rust
# has no standard library for the target, Debian's compiler for browsers (rustc-web) is unpacked, not installed, into
# .siskin/aarch64 with the library that Debian builds for arm64 from the same sources.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
folder=$PWD/.siskin/aarch64

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
  command -v "$tool" >/dev/null ||
    { echo "skipped: no $tool (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)" >&2; exit 0; }
done

# Packages of two architectures, from lists of their own: the system's stay as they are.
debian() { "apt-$1" -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o Dir::State::lists="$folder/lists" "${@:2}"; }

unpack_rust() {
  local version llvm package
  mkdir -p "$folder/lists/partial" "$folder/debs"
  debian get update -q >/dev/null
  # The library package carries the compiler's version in its name, and needs the LLVM that the compiler was linked with.
  version=$(debian cache policy rustc-web | sed -n 's/^ *Candidate: \([0-9]*\.[0-9]*\).*/\1/p')
  llvm=$(debian cache depends "libstd-rust-web-$version" | sed -n 's/.*Depends: libllvm\([0-9]*\)$/\1/p' | head -n 1)
  (cd "$folder/debs" && debian get download -q rustc-web "libstd-rust-web-$version" libstd-rust-web-dev ${llvm:+"libllvm$llvm"} \
    libstd-rust-web-dev:arm64 >&2)
  for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder"; done
  rm -rf "$folder/debs" "$folder/lists"
}

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
  if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
    echo "skipped: this Rust has no standard library for $target" >&2
    exit 0
  fi
  if [ ! -d "$folder/usr/lib/rustlib/$target/lib" ]; then
    say "aarch64: unpacking Debian's rustc-web and its library for arm64 into .siskin/aarch64"
    rm -rf "$folder"
    unpack_rust
  fi
  LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu:$folder/usr/lib:$(echo "$folder"/usr/lib/llvm-*/lib | tr ' ' :)
  export LD_LIBRARY_PATH RUSTC=$folder/usr/bin/rustc
fi

export CARGO_TARGET_DIR=$folder/target
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
# What is left over on this processor alone is a fault; other people's crates are not held to it.
export RUSTFLAGS="-D warnings"
# Nothing is linked with GStreamer here, and what its description says beside that is the same on both.
export PKG_CONFIG_ALLOW_CROSS=1

# Other people's crates not optimized, macros among them: that is most of the time otherwise, and little here depends on them.
plain=(--quiet --locked --target "$target" --config 'profile.dev.package."*".opt-level=0')

say "aarch64: the library and the plugin compile"
cargo check "${plain[@]}" -p siskin-core -p gst-plugin-siskin
say "aarch64: tests of entropy coding and of the container in QEMU"
cargo test "${plain[@]}" -p siskin-entropy -p siskin-bitstream --lib
# All of its tests would take an hour there.
say "aarch64: golden vectors of the block codec in QEMU"
cargo test "${plain[@]}" -p siskin-video --lib golden
