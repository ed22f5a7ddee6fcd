#!/usr/bin/env bash
# gst-inspect-1.0 --exists says no to an element that it can show.
#
# Tools:     gst-inspect-1.0 1.22.0 (Debian 12); plugin libnice 0.1.21-1 with the libraries it needs, as Debian packs them.
# Expected:  `--exists ELEMENT` exits with 0 if the element is there, as its manual page says; a version only counts
#            where `--atleast-version` asks for one.
# Found:     without --atleast-version the plugin's version is compared with GStreamer's own: a plugin with a version line
#            of its own, below GStreamer's, "does not exist", although the element can be inspected and used. With
#            `--atleast-version=0.0` it exists.
# Output:    inspect 0, exists 1, exists from 0.0 on 0, exists from 1.0 on 1, exists fakesink 0
# Meaning:   a script that asks `--exists` before it builds a pipeline leaves out third-party plugins. Ask
#            `gst-inspect-1.0 --exists --atleast-version=0.0 ELEMENT`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v gst-inspect-1.0 >/dev/null || { echo "needs gstreamer1.0-tools" >&2; exit 2; }
apt-get download -qq gstreamer1.0-nice=0.1.21-1 libnice10=0.1.21-1 libgupnp-igd-1.0-4 libgupnp-1.6-0 libgssdp-1.6-0 \
  libsoup-3.0-0 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$folder/root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries GST_PLUGIN_PATH=$libraries/gstreamer-1.0 GST_REGISTRY=$folder/registry.bin

answer() { gst-inspect-1.0 "$@" >/dev/null 2>&1 && echo 0 || echo $?; }
found="inspect $(answer nicesink), exists $(answer --exists nicesink)"
found="$found, exists from 0.0 on $(answer --exists --atleast-version=0.0 nicesink)"
found="$found, exists from 1.0 on $(answer --exists --atleast-version=1.0 nicesink)"
found="$found, exists fakesink $(answer --exists fakesink)"
echo "$(gst-inspect-1.0 --version | head -n 1): $found"
[ "$found" = "inspect 0, exists 1, exists from 0.0 on 0, exists from 1.0 on 1, exists fakesink 0" ] ||
  { echo "the behavior has changed" >&2; exit 1; }
