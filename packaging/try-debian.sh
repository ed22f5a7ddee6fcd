#!/usr/bin/env bash
# Builds and tests the commit that is checked out in a Debian of its own, by default Debian 13, and installs the package that
# comes out in a second one where nothing else is. Both are folders that mmdebstrap fills; needs root.
#
# The first Debian, with what ./x has installed and built there, is kept in $SISKIN_DEBIANS (~/.cache/siskin/debian).
# usage: packaging/try-debian.sh [RELEASE [--release]]
#   RELEASE    Debian's name of it, by default trixie
#   --release  makes the package of an optimized build, as ./x deb does, not of what the tests have built
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
source=$(dirname "$here")
release=${1:-trixie} profile=${2:-}

say() { printf '\033[1m==> %s: %s\033[0m\n' "$release" "$*" >&2; }
die() { printf 'try-debian: %s\n' "$*" >&2; exit 1; }

if [ -z "${IN_NAMESPACE:-}" ]; then
  command -v mmdebstrap >/dev/null ||
    { echo "skipped: no mmdebstrap, which makes the Debian to try in (apt-get install mmdebstrap)" >&2; exit 0; }
  if [ "$(id -u)" -ne 0 ] || ! unshare --mount --pid --fork true 2>/dev/null; then
    echo "skipped: only root can try in namespaces of its own" >&2
    exit 0
  fi
  # What is mounted and what runs below ends with this script, however it ends.
  IN_NAMESPACE=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi

cache=${SISKIN_DEBIANS:-${XDG_CACHE_HOME:-$HOME/.cache}/siskin/debian}/$release
base=$cache/base.tar root=$cache/root fresh=$cache/fresh
mkdir -p "$cache"
exec 9> "$cache/lock"
flock -n 9 || die "another run has $cache"
# As the first process of its namespace it would take no notice of either.
trap 'exit 143' INT TERM
# What a run left behind that was killed.
rm -rf --one-file-system "$fresh" "$root.new"
trap 'cd /; umount -R -l "$fresh" 2>/dev/null || true; rm -rf --one-file-system "$fresh"' EXIT

# Lays the smallest Debian that has apt out in the folder $1: the one that was made at most a week ago, since a package that
# Debian has replaced can no longer be fetched.
lay_out() {
  # Only a file: mmdebstrap had made a folder of this name, before it was told the format and guessed it of `.new`.
  if [ -z "$(find "$base" -maxdepth 0 -type f -mtime -7 2>/dev/null)" ]; then
    say "making the smallest system that has apt"
    rm -rf --one-file-system "$base" "$base.new"
    mmdebstrap --quiet --format=tar --variant=apt "$release" "$base.new"
    mv "$base.new" "$base"
  fi
  mkdir -p "$1"
  tar -xpf "$base" -C "$1"
  # What a network may need of its users' machines: its name servers and the certificates that its administrator added.
  cp -L /etc/resolv.conf "$1/etc/resolv.conf"
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    mkdir -p "$1/usr/local/share/ca-certificates"
    cp -L /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/"
  fi
}

# Makes the folder $1 a system in which commands can run and can have namespaces of their own, which takes a mount for its root.
mount_kernel() {
  mount --bind "$1" "$1"
  mount -t proc proc "$1/proc"
  mount --rbind /dev "$1/dev"
  mount --rbind /sys "$1/sys"
}

# Runs a command in the system $1 for at most $2 minutes, with nothing of this machine's environment but the proxies.
inside() {
  local system=$1 minutes=$2 proxies
  shift 2
  mapfile -t proxies < <(env | grep -iE '^(https?|no)_proxy=' || true)
  # Built once for each commit: what cargo keeps for small changes is 1 GB.
  # In the foreground, so that an interrupt gets there too; what a time that is over leaves running ends with the namespace.
  timeout --foreground --kill-after=10 "${minutes}m" chroot "$system" env -i HOME=/root LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_INCREMENTAL=0 "${proxies[@]}" "$@"
}

# The commit that is checked out, with only those files written anew that changed since the last run, or cargo would compile all.
check_out() {
  local tree=$root/siskin
  if [ ! -d "$tree/.git" ]; then git init -q "$tree"; fi
  git -C "$tree" fetch -q --depth 1 "$source" "$(git -C "$source" rev-parse HEAD)"
  git -C "$tree" checkout -q --force --detach FETCH_HEAD
  git -C "$tree" clean -fdq
}

build() {
  if [ ! -d "$root" ]; then
    lay_out "$root.new"
    mv "$root.new" "$root"
    touch "$cache/updated"
  fi
  mount_kernel "$root"
  if [ -z "$(find "$cache/updated" -mtime -7 2>/dev/null)" ]; then
    say "taking Debian's updates"
    inside "$root" 10 apt-get update -q >/dev/null
    inside "$root" 10 env DEBIAN_FRONTEND=noninteractive apt-get upgrade -y -q >/dev/null
    touch "$cache/updated"
  fi
  check_out
  say "building and testing"
  inside "$root" 40 /siskin/x test-elements
  say "packing"
  rm -rf "$root/siskin/.siskin/deb"
  if [ "$profile" = --release ]; then
    inside "$root" 40 /siskin/x deb
  else
    inside "$root" 10 env SISKIN_BUILT=/siskin/.siskin/built /siskin/x deb
  fi
}

# The package where nothing but it and what it depends on is, then with the tools of GStreamer, then as packaging/try.sh tries it.
try_package() {
  local package
  package=$(compgen -G "$root/siskin/.siskin/deb/siskin_*.deb") || die "./x deb made no package"
  say "installing $(basename "$package") where nothing else is"
  lay_out "$fresh"
  mount_kernel "$fresh"
  mkdir -p "$fresh/try/packaging" "$fresh/try/testdata/clips"
  cp "$source/packaging/try.sh" "$fresh/try/packaging/"
  cp "$source/testdata/clips/speech-be.flac" "$fresh/try/testdata/clips/"
  cp "$package" "$fresh/try/siskin.deb"
  inside "$fresh" 10 bash -euo pipefail -c '
    export DEBIAN_FRONTEND=noninteractive
    install() { apt-get install -y -q --no-install-recommends "$@" > /tmp/apt.log 2>&1 || { cat /tmp/apt.log >&2; exit 1; }; }
    apt-get update -q > /tmp/apt.log 2>&1 || { cat /tmp/apt.log >&2; exit 1; }
    install /try/siskin.deb
    cd /tmp
    siskin encode -q /try/testdata/clips/speech-be.flac a.mka
    siskin decode -q a.mka a.wav
    siskin compare /try/testdata/clips/speech-be.flac a.mka
    install gstreamer1.0-tools
    gst-inspect-1.0 siskin
    # What try.sh looks into, compiles with and plays with.
    install gcc libc6-dev pkg-config libgstreamer1.0-dev gstreamer1.0-plugins-base-apps
    /try/packaging/try.sh /try/siskin.deb | tee /tmp/tried
    # It leaves with success where it may not mount.
    grep -q "^the package installs" /tmp/tried
  '
}

build
try_package
say "GStreamer $(inside "$root" 1 pkg-config --modversion gstreamer-1.0): the elements pass their tests, and the package installs and works"
