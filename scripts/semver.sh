#!/usr/bin/env bash
# Compares the public API of the crates with that of the last release, by cargo-semver-checks: what breaks users needs another
# version. Below 1.0 the second number counts, as for cargo: from 0.2 to 0.3 anything may change, from 0.3.0 to 0.3.1 nothing breaks.
# The last release is the last tag v*; without one, the last commit of another version than this one.
# usage: scripts/semver.sh [REVISION [RELEASE_TYPE]]    RELEASE_TYPE: major, minor or patch, instead of what the versions say
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.siskin/cargo

# The commit before the one that set the version of Cargo.toml.
before_this_version() {
  local commit
  commit=$(git log -1 --format=%H -G'^version = "' -- Cargo.toml)
  if [ -n "$commit" ]; then git rev-parse --quiet --verify "$commit^" || true; fi
}

base=${1:-$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || before_this_version)}
if [ -z "$base" ]; then
  echo "semver: skipped, the history has no commit of another version" >&2
  exit
fi
git rev-parse --quiet --verify "$base^{commit}" >/dev/null || { echo "semver: no revision $base" >&2; exit 1; }

# What a caret requirement of cargo holds fixed: 0.3 of 0.3.1, 1 of 1.3.1.
compatible() { sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' | sed -E 's/^(0\.[0-9]+|[1-9][0-9]*)\..*/\1/'; }
was=$(git show "$base:Cargo.toml" | compatible) is=$(compatible < Cargo.toml)
if [ -z "${2:-}" ] && [ "$was" != "$is" ]; then
  echo "semver: nothing to compare, since $is may break what $was promised ($(git log -1 --format='%h of %as' "$base"))" >&2
  exit
fi
[ -x "$tools/bin/cargo-semver-checks" ] || cargo install --quiet --locked --root "$tools" cargo-semver-checks@0.51.0

# Libraries that both have: a new crate breaks nobody. The tool stops at one that the release has not.
packages=()
for manifest in $(git ls-files '*/Cargo.toml'); do
  name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$manifest" | head -n 1)
  if [ -f "$(dirname "$manifest")/src/lib.rs" ] && ! grep -q '^publish = false' "$manifest" &&
    git cat-file -e "$base:$manifest" 2>/dev/null; then
    packages+=(--package "$name")
  fi
done
echo "semver: against $(git log -1 --format='%h of %as' "$base"): ${packages[*]}" >&2
"$tools/bin/cargo-semver-checks" semver-checks "${packages[@]}" --baseline-rev "$base" ${2:+--release-type "$2"}
