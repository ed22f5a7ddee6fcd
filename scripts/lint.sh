#!/usr/bin/env bash
# Every check but the tests. `./x lint` calls it.
# usage: scripts/lint.sh PYTHON CARGO_TOOLS WHEELS: a Python with python/requirements-lint.txt and the wheel installed, a
# folder for tools that cargo installs
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 tools=$2

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

say "lint: format"
cargo fmt --all --check
"$python" -m ruff check --quiet .

say "lint: clippy"
# It also refuses what is newer in the standard library than the rust-version of Cargo.toml (incompatible_msrv).
cargo clippy --workspace --all-targets --quiet -- -D warnings

say "lint: rust-version of the dependencies"
"$python" scripts/msrv.py

say "lint: documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
"$python" scripts/links.py

say "lint: licences, sources and versions of the dependencies"
[ -x "$tools/bin/cargo-deny" ] || cargo install --quiet --locked --root "$tools" cargo-deny
"$tools/bin/cargo-deny" --log-level error check bans licenses sources

say "lint: the header for C against its sources"
[ -x "$tools/bin/cbindgen" ] || cargo install --quiet --locked --root "$tools" cbindgen@0.29.4
# --verify fails where the file is another than what would be written.
"$tools/bin/cbindgen" --quiet --config capi/cbindgen.toml --output capi/include/siskin.h --verify capi

say "lint: the Python module against its .pyi"
"$python" -m mypy.stubtest siskin --allowlist python/stubtest.txt --concise

say "lint: shell scripts"
shellcheck --severity=warning x .ci/run packaging/*.sh scripts/*.sh examples/*.sh
