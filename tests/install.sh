#!/usr/bin/env bash
# tests/install.sh BUILD: install into a fresh folder, then compile and run the program that stands at the head of
# include/tessera.h against what was installed: shared through pkg-config, static through pkg-config, and through the
# CMake package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

cmake --install "$build" --prefix "$root/usr" >/dev/null
# The program is the indented part of the head comment, its stars taken away.
sed -nE '/^ \*     #include <stdio.h>/,/^ \*     \}$/p; /^ \*     int main/,/^ \*     \}$/p' "$root/usr/include/tessera.h" |
    awk '!seen[NR":"$0]++' | sed -E 's/^ \*( {5})?//' | awk '/int main/ && n++ { exit } { print }' >"$root/caption.c"

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$root/usr" -name tessera.pc)")
libdir=$(pkg-config --variable=libdir tessera)
model=assets/default-model
picture=$(ls assets/samples/*.png | head -n 1)

# The pkg-config file names the configured prefix; here it is the fresh folder.
flags() { pkg-config --define-variable=prefix="$root/usr" "$@" tessera; }
# shellcheck disable=SC2046
cc -std=c11 "$root/caption.c" $(flags --cflags --libs) -o "$root/shared"
# shellcheck disable=SC2046
cc -std=c11 "$root/caption.c" $(flags --cflags) "$libdir/libtessera.a" $(flags --static --libs-only-l | sed 's/-ltessera//') \
    -lpthread -lm -o "$root/static"
LD_LIBRARY_PATH=$libdir "$root/shared" "$model" "$picture" >"$root/a"
"$root/static" "$model" "$picture" >"$root/b"
cmp "$root/a" "$root/b"

mkdir "$root/project"
cp "$root/caption.c" "$root/project/"
cat >"$root/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(caption C)
find_package(tessera REQUIRED)
add_executable(caption caption.c)
target_link_libraries(caption PRIVATE tessera::tessera_shared)
CMAKE
cmake -S "$root/project" -B "$root/project/build" -DCMAKE_PREFIX_PATH="$root/usr" >/dev/null
cmake --build "$root/project/build" >/dev/null
"$root/project/build/caption" "$model" "$picture" >"$root/c"
cmp "$root/a" "$root/c"
echo "the program of tessera.h says: $(cat "$root/a")"
