#!/usr/bin/env bash
# Compares the public API of the crates with that of the last release, by cargo-semver-checks. Says so and leaves where the
# tool is not installed or nothing has been tagged yet.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -z "$tag" ]; then
  echo "semver: skipped, no release has been tagged" >&2
elif ! cargo semver-checks --version >/dev/null 2>&1; then
  echo "semver: skipped, cargo-semver-checks is not installed (cargo install --locked cargo-semver-checks)" >&2
else
  cargo semver-checks --workspace --baseline-rev "$tag"
fi
