#!/usr/bin/env bash
# Importing ONNX Runtime from PyPI writes a machine's id and a database into the user's home before any model is opened.
#
# Packages:  onnxruntime 1.32.0 (PyPI, Linux), with what it depends on.
# Expected:  `import onnxruntime` reads its library and writes nothing, as numpy and other libraries for computing do.
# Found:     the first import makes ~/.cache/Microsoft/DeveloperTools/.onnxruntime with `deviceid` (a UUID of 36 bytes, the same
#            from then on) and the SQLite database `onnxruntime.db`. `disable_telemetry_events()` can be called only after the import, when
#            both are there. With ORT_DISABLE_TELEMETRY=1 in the environment neither is made.
# Output:    import: deviceid onnxruntime.db; with ORT_DISABLE_TELEMETRY=1: nothing
# Meaning:   a program that embeds this library leaves an id in the home folder of everyone who runs it, and a container or test
#            that compares home folders differs. Set the variable before the library is loaded; a call is too late. Nothing was seen on
#            the network here, where there is none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0

# What an import with the variables given leaves in an empty home.
left() {
  rm -rf "$folder/home" && mkdir "$folder/home"
  env -u ORT_DISABLE_TELEMETRY -u XDG_CACHE_HOME HOME="$folder/home" "$@" "$folder/venv/bin/python" -c 'import onnxruntime'
  (cd "$folder/home" && find . -type f -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')
}
found="import: $(left); with ORT_DISABLE_TELEMETRY=1: $(left ORT_DISABLE_TELEMETRY=1)"
found=${found/%: /: nothing}
echo "onnxruntime 1.32.0: $found"
[ "$found" = "import: deviceid onnxruntime.db; with ORT_DISABLE_TELEMETRY=1: nothing" ] ||
  { echo "the behavior has changed" >&2; exit 1; }
