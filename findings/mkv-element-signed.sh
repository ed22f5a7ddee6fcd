#!/usr/bin/env bash
# The crate mkv-element writes some signed integers so that they read back with the other sign.
#
# Tools:     mkv-element 0.4.0 (crates.io), a Matroska reader and writer in Rust.
# Expected:  a signed integer of EBML (RFC 8794, section 7.1) is written in two's complement, in as many bytes as its sign
#            needs: 200 as 00 C8; what is written reads back as it was.
# Found:     all leading bytes of 00 or FF are dropped, the one that holds the sign too: 200 is written as C8, which every
#            reader, the crate's own among them, takes for -56, and -200 as 38, which is 56. Numbers whose shortest form happens
#            to begin with the bit of their sign, such as 100 and 1000, come back as they were. A DiscardPadding of 6.5 ms
#            (6,500,000 ns = 63 2E A0) is right, one of 13.5 ms (13,500,000 ns = CD FE 60) becomes -3.3 ms.
# Output:    100 -> 64 -> 100, 200 -> c8 -> -56, 1000 -> 03e8 -> 1000, 6500000 -> 632ea0 -> 6500000, 13500000 -> cdfe60 -> -3277216, -200 -> 38 -> 56
# Meaning:   write signed elements (DiscardPadding, ReferenceBlock, DateUTC) with the sign's byte by hand until the crate does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v cargo >/dev/null || { echo "needs cargo" >&2; exit 2; }
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "signed"
version = "0.0.0"
edition = "2024"

[dependencies]
mkv-element = "=0.4.0"
TOML
cat > src/main.rs <<'RUST'
use mkv_element::prelude::*;

fn main() {
    let pairs = [100i64, 200, 1000, 6_500_000, 13_500_000, -200].map(|value| {
        let mut bytes = Vec::new();
        DiscardPadding(value).encode_body(&mut bytes).expect("room");
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let back = DiscardPadding::decode_body(&mut &*bytes).expect("an integer");
        format!("{value} -> {hex} -> {}", back.0)
    });
    println!("{}", pairs.join(", "));
}
RUST
found=$(cargo run --quiet)
echo "mkv-element 0.4.0: $found"
[ "$found" = "100 -> 64 -> 100, 200 -> c8 -> -56, 1000 -> 03e8 -> 1000, 6500000 -> 632ea0 -> 6500000, 13500000 -> cdfe60 -> -3277216, -200 -> 38 -> 56" ] ||
  { echo "the behavior has changed" >&2; exit 1; }
