# What `./x install`, `./x uninstall` and `./x deb` do. Sourced by ./x, whose functions and variables it uses.
# shellcheck shell=bash disable=SC2154

# The folder for plugins below the prefix $1, named as that of the GStreamer here is below its own.
plugin_folder() {
  local system system_prefix
  system=$(pkg-config --variable=pluginsdir gstreamer-1.0)
  system_prefix=$(pkg-config --variable=prefix gstreamer-1.0)
  printf '%s\n' "$1${system#"$system_prefix"}"
}

# Builds everything in release and lays it out under the stage $3 for the prefix $1 with the plugins in $2. SISKIN_BUILT names
# a folder where it has been built already; packaging/try.sh installs what the tests have built.
stage() {
  local built=${SISKIN_BUILT:-target/release}
  if [ -z "${SISKIN_BUILT:-}" ]; then
    say "building (release)"
    cargo build --release --quiet -p siskin -p gst-plugin-siskin -p siskin-capi
  fi
  packaging/stage.sh "$built" "$1" "$2" "${ORT_DYLIB_PATH:-$cache/ort/libonnxruntime.so}" "$3"
}

prefix_of() {
  local prefix=${PREFIX:-/usr/local}
  case "${1:-}" in
    "") ;;
    --prefix) prefix=${2:-} ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    *) usage ;;
  esac
  [[ $prefix == /* && ${#prefix} -gt 1 ]] || die "--prefix must be an absolute path: ${prefix:-nothing}"
  printf '%s\n' "${prefix%/}"
}

# Runs a command as root only where the folder $1, or what is there of it, cannot be written.
with_rights_to() {
  local folder=$1
  shift
  while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
  if [ -w "$folder" ]; then "$@"; else as_root "$@"; fi
}

# The list of what was installed, below the prefix; ./x uninstall goes by it.
installed_list=share/siskin/installed

install_here() {
  local prefix plugins stage=$cache/stage
  prefix=$(prefix_of "$@")
  setup
  plugins=$(plugin_folder "$prefix")
  stage "$prefix" "$plugins" "$stage"
  (cd "$stage" && find . '(' -type f -o -type l ')' | sed 's/^\.//' | sort) > "$cache/installed"
  install -D -m 644 "$cache/installed" "$stage$prefix/$installed_list"
  say "installing into ${DESTDIR:-}$prefix"
  with_rights_to "${DESTDIR:-}$prefix" mkdir -p "${DESTDIR:-}$prefix"
  with_rights_to "${DESTDIR:-}$prefix" cp -r --no-preserve=ownership "$stage$prefix/." "${DESTDIR:-}$prefix/"
  rm -rf "$stage"
  [ -n "${DESTDIR:-}" ] && return
  link_plugin "$plugins/libgstsiskin.so"
  link_presets "$prefix"
  update_loader "$(dirname "$plugins")"
}

# The loader finds libsiskin.so.1 by its cache alone, unless it lies in /lib or /usr/lib.
update_loader() {
  local ldconfig=/sbin/ldconfig
  # Not -q: that ends before ldconfig does, which is then a failure.
  if "$ldconfig" -N -v 2>/dev/null | grep "^$1: " >/dev/null; then with_rights_to /etc/ld.so.cache "$ldconfig"; fi
}

# Presets are read from GStreamer's own prefix and from the user's folder only, like plugins.
link_presets() {
  local file folder
  folder=$(presets_folder "$1")
  [ "$folder" = "$1/share/gstreamer-1.0/presets" ] && return
  with_rights_to "$folder" mkdir -p "$folder"
  for file in "$1"/share/gstreamer-1.0/presets/GstSiskin*.prs; do
    with_rights_to "$folder" ln -sfn "$file" "$folder/$(basename "$file")"
  done
}

# Where GStreamer looks for the presets of what is below the prefix $1.
presets_folder() {
  case $1/ in
    "$HOME"/*) printf '%s\n' "${XDG_DATA_HOME:-$HOME/.local/share}/gstreamer-1.0/presets" ;;
    *) printf '%s\n' "$(pkg-config --variable=prefix gstreamer-1.0)/share/gstreamer-1.0/presets" ;;
  esac
}

# GStreamer looks below its own prefix and in the user's folder only: an installation elsewhere is linked to from there.
link_plugin() {
  local link
  if gst_finds_plugin; then
    say "installed; gst-inspect-1.0 siskin finds the plugin"
    return
  fi
  link=$(plugin_link "$1")
  with_rights_to "$(dirname "$link")" mkdir -p "$(dirname "$link")"
  with_rights_to "$(dirname "$link")" ln -sfn "$1" "$link"
  gst_finds_plugin || die "gst-inspect-1.0 siskin does not find the plugin $1"
  say "installed; GStreamer finds the plugin by the link $link"
}

# Where the link to the plugin $1 goes: the user's folder for what is in the user's home, else GStreamer's own.
plugin_link() {
  case $1 in
    "$HOME"/*) printf '%s\n' "${XDG_DATA_HOME:-$HOME/.local/share}/gstreamer-1.0/plugins/libgstsiskin.so" ;;
    *) printf '%s\n' "$(pkg-config --variable=pluginsdir gstreamer-1.0)/libgstsiskin.so" ;;
  esac
}

# Whether the GStreamer here has the plugin, with no variable and no memory of before.
gst_finds_plugin() {
  rm -f "$cache/gst-registry-install.bin"
  env -u GST_PLUGIN_PATH -u SISKIN_DEV_ROOT GST_REGISTRY="$cache/gst-registry-install.bin" gst-inspect-1.0 siskin >/dev/null 2>&1
}

uninstall_here() {
  local prefix list file link
  prefix=$(prefix_of "$@")
  list=$prefix/$installed_list
  [ -f "$list" ] || die "nothing that ./x install wrote is below $prefix"
  while IFS= read -r file; do
    [[ $file == "$prefix"/* ]] || die "$list names $file, which is not below $prefix"
    with_rights_to "$prefix" rm -f "$file"
  done < "$list"
  with_rights_to "$prefix" rm -f "$list"
  for file in "$prefix"/{share,lib,share/doc}/siskin; do
    [ ! -d "$file" ] || with_rights_to "$prefix" find "$file" -depth -type d -empty -delete
  done
  link=$(plugin_link "$prefix/")
  if [ -L "$link" ] && [ ! -e "$link" ]; then with_rights_to "$(dirname "$link")" rm "$link"; fi
  for link in "$(presets_folder "$prefix")"/GstSiskin*.prs; do
    if [ -L "$link" ] && [ ! -e "$link" ]; then with_rights_to "$(dirname "$link")" rm "$link"; fi
  done
  say "removed from $prefix"
}

# Builds .siskin/deb/siskin_VERSION_ARCHITECTURE.deb, which holds everything and needs no variable.
build_deb() {
  local plugins version stage=$cache/stage
  setup dpkg-dev
  version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
  plugins=$(plugin_folder /usr)
  stage /usr "$plugins" "$stage"
  packaging/deb.sh "$stage" "$version" "$plugins" "$cache/deb"
  rm -rf "$stage"
  say "built $cache/deb/siskin_${version}_$(dpkg --print-architecture).deb"
}
