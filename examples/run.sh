#!/usr/bin/env bash
# Builds and runs every example on a clip of testdata and checks what each made. `./x examples` calls it, with the plugin on
# GST_PLUGIN_PATH.
# usage: examples/run.sh PYTHON FOLDER: a Python with the wheel, a folder to work in
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 work=$2

say() { printf '\033[1m==> example: %s\033[0m\n' "$*" >&2; }
die() { printf 'examples: %s\n' "$*" >&2; exit 1; }
# Seconds of a sound file, with two decimals.
seconds() { ffprobe -v error -show_entries format=duration -of csv=p=0 "$1" | xargs printf '%.2f\n'; }
same_length() { [ "$(seconds "$1")" = "$(seconds "$2")" ] || die "$1 lasts $(seconds "$1") s, $2 $(seconds "$2") s"; }
example() { say "$*"; "target/debug/examples/$1" "${@:2}"; }

rm -rf "$work" && mkdir -p "$work"
ffmpeg -v error -i testdata/clips/speech-be.flac -ac 1 -ar 24000 -c:a pcm_s16le "$work/in.wav"
# The whole workspace at once, as the tests build it: a package by itself takes other features of its dependencies, and
# they are compiled once more (11 minutes on two cores instead of one).
cargo build --quiet --workspace --lib --bins --examples
# GStreamer takes every library beside the plugin for a plugin, and warns of this one.
rm -f target/debug/lib_siskin.so

example encode_wav "$work/in.wav" "$work/a.mka"
target/debug/siskin verify "$work/a.mka"
example decode_to_wav "$work/a.mka" "$work/a.wav"
same_length "$work/in.wav" "$work/a.wav"
example stream_over_udp "$work/in.wav" "$work/udp.wav" 0.1
[ -s "$work/udp.wav" ] || die "nothing came over UDP"
example gst_player "$work/a.mka" fakesink

say "player (C)"
# shellcheck disable=SC2046 # flags are words
cc -Wall -Wextra -Werror examples/c/player.c -o "$work/player" $(pkg-config --cflags --libs gstreamer-1.0)
"$work/player" "$work/a.mka" fakesink

say "round_trip (C)"
# As an installation has it, whose name programs load.
mkdir -p "$work/lib"
ln -sf "$PWD/target/debug/libsiskin_capi.so" "$work/lib/libsiskin.so.1"
cc -std=c99 -Wall -Wextra -Werror -pedantic -g -Icapi/include examples/c/round_trip.c -o "$work/round_trip" "$work/lib/libsiskin.so.1"
export LD_LIBRARY_PATH=$work/lib
ffmpeg -v error -i "$work/in.wav" -f s16le "$work/in.s16"
"$work/round_trip" "$work/c.mka" < "$work/in.s16" > "$work/c.s16"
target/debug/siskin verify "$work/c.mka"
[ "$(stat -c %s "$work/in.s16")" = "$(stat -c %s "$work/c.s16")" ] || die "another number of samples came back"
# Half a second: Valgrind takes a minute for it.
head -c 24000 "$work/in.s16" | valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
  --suppressions=examples/c/valgrind.supp "$work/round_trip" "$work/short.mka" > "$work/short.s16"
[ "$(stat -c %s "$work/short.s16")" = 24000 ] || die "another number of samples came back"
# C++ takes the header too.
printf '#include <siskin.h>\nint main() { return siskin_abi_version() == SISKIN_ABI_VERSION ? 0 : 1; }\n' > "$work/abi.cpp"
c++ -Wall -Wextra -Werror -Icapi/include "$work/abi.cpp" -o "$work/abi" "$work/lib/libsiskin.so.1"
"$work/abi"
unset LD_LIBRARY_PATH

say "read_mka_without_onnx"
target/debug/read-mka-without-onnx "$work/a.mka" | tee "$work/packets.txt"
grep -q 'packets' "$work/packets.txt" || die "no packets were counted"
# The point of that example: what it is built with.
linked=$(cargo tree -p read-mka-without-onnx -e normal --prefix none | sort -u)
if grep -E '^(ort|prost|realfft) ' <<< "$linked"; then die "read_mka_without_onnx links what runs networks"; fi

say "tokens (Python)"
# No name on its way out in an example.
"$python" -W error::DeprecationWarning examples/python/tokens.py "$work/in.wav" "$work/tokens.wav"
same_length "$work/in.wav" "$work/tokens.wav"
say "tokens (notebook)"
"$python" -W error::DeprecationWarning - examples/python/tokens.ipynb "$work/in.wav" "$work/notebook.wav" <<'PY'
import json, sys
cells = json.load(open(sys.argv[1]))["cells"]
scope = {"INPUT": sys.argv[2], "OUTPUT": sys.argv[3]}
for cell in cells:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), sys.argv[1], "exec"), scope)
PY
same_length "$work/in.wav" "$work/notebook.wav"
say "all ran"
