#!/usr/bin/env bash
# tests/install.sh BUILD: install into a fresh folder, then compile and run the program that stands at the head of
# include/tessera.h against what was installed, shared and static, through pkg-config and through the CMake package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
model=assets/default-model
picture=tests/vectors/models/chat-a/expect/png.png

cmake --install "$build" --prefix "$root/usr" >/dev/null

# The shared library exports what the header declares, and nothing else.
declared=$(grep -v '^#' "$root/usr/include/tessera.h" | tr '\n' ' ' | grep -oE 'TSR_API [^;(]*' | grep -oE 'tsr_[a-z_]+ ?$' | sort -u)
exported=$(nm -D --defined-only "$(find "$root/usr" -name libtessera.so)" | awk '{ print $3 }' | sort)
diff <(echo "$declared") <(echo "$exported") || { echo "declared (<) and exported (>) differ"; exit 1; }

# The program is the head comment's indented part.
awk '/^ \*     #include/ { on = 1 } on && /^ \* [^ ]/ { exit } on { sub(/^ \*/, ""); sub(/^     /, ""); print }' \
    "$root/usr/include/tessera.h" >"$root/caption.c"
echo "$(grep -c . "$root/caption.c") lines of C"

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$root/usr" -name tessera.pc)")
libdir=$(pkg-config --variable=libdir tessera)
compile() { cc -std=c11 -Wall -Wextra -Werror "$root/caption.c" "$@"; }
# shellcheck disable=SC2046
compile $(pkg-config --cflags --libs tessera) -o "$root/pc-shared"
# shellcheck disable=SC2046
compile $(pkg-config --static --cflags --libs tessera | sed 's/-ltessera/-l:libtessera.a/') -o "$root/pc-static"

mkdir "$root/project"
cp "$root/caption.c" "$root/project/"
cat >"$root/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(caption C)
find_package(tessera 0.1 REQUIRED)
foreach(kind shared static)
  add_executable(cmake-${kind} caption.c)
  target_link_libraries(cmake-${kind} PRIVATE tessera::tessera_${kind})
endforeach()
CMAKE
cmake -G Ninja -S "$root/project" -B "$root/project/build" -DCMAKE_PREFIX_PATH="$root/usr" >/dev/null
cmake --build "$root/project/build" >/dev/null

"$root/usr/bin/tessera" caption --quiet "$picture" >"$root/program" # with the default model that was installed
for kind in pc-shared pc-static project/build/cmake-shared project/build/cmake-static; do
    LD_LIBRARY_PATH=$libdir "$root/$kind" "$model" "$picture" >"$root/said"
    grep -q . "$root/said" || { echo "$kind says nothing"; exit 1; }
    links=$(ldd "$root/$kind" | grep -c libtessera.so || true)
    case "$kind:$links" in *shared:1 | *static:0) ;; *) echo "$kind: libtessera.so is linked $links times"; exit 1 ;; esac
    [ -e "$root/first" ] || cp "$root/said" "$root/first"
    cmp "$root/first" "$root/said"
done
echo "they all say: $(cat "$root/first")"
