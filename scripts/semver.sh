#!/usr/bin/env bash
# Compares the public API of the crates with that of the last release, by cargo-semver-checks. Says so and leaves where the
# tool is not installed or nothing has been tagged yet.
# usage: scripts/semver.sh [REVISION]    a release's commit, where it has no tag
set -euo pipefail
cd "$(dirname "$0")/.."

base=${1:-$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)}
if [ -z "$base" ]; then
  echo "semver: skipped, no release has been tagged and no revision is given" >&2
elif ! cargo semver-checks --version >/dev/null 2>&1; then
  echo "semver: skipped, cargo-semver-checks is not installed (cargo install --locked cargo-semver-checks)" >&2
else
  git rev-parse --quiet --verify "$base^{commit}" >/dev/null || { echo "semver: no revision $base" >&2; exit 1; }
  cargo semver-checks --workspace --baseline-rev "$base"
fi
