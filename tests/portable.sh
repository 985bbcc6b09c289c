#!/usr/bin/env bash
# tests/portable.sh BUILD: the portable program needs nothing that a bare machine lacks, is stripped, and stays small.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
bad=0
complain() { echo "$1"; bad=1; }

# A folder of its own, as it would be carried.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$build/apps/tessera" "$build"/apps/libcjson.so.* "$folder/"
[ ! -e "$build/apps/tessera-cuda.so" ] || cp "$build/apps/tessera-cuda.so" "$folder/"

needed=$(ldd "$folder/tessera" | awk '{ print $1, $3 }')
echo "$needed"
while read -r name path; do
    case "$name" in
        linux-vdso.so.* | libc.so.* | libm.so.* | */ld-linux-x86-64.so.* | libpthread.so.* | libdl.so.*) ;;
        libcjson.so.*) [ "$path" = "$folder/$name" ] || complain "$name comes from $path, not from beside the program" ;;
        *) complain "$name is needed from the system" ;;
    esac
done <<<"$needed"

if [ -e "$folder/tessera-cuda.so" ]; then
    readelf -d "$folder/tessera-cuda.so" | grep NEEDED | grep -vE 'lib(c|m|dl|pthread|rt)\.so|ld-linux' && complain "the CUDA module needs more than the C library"
fi
readelf -S "$folder/tessera" | grep -q '\.symtab' && complain "the program is not stripped"
bytes=$(du -cb "$folder"/* | tail -n 1 | cut -f 1)
echo "$bytes bytes"
[ "$bytes" -le $((12 << 20)) ] || complain "$bytes bytes are more than 12 MiB"

"$folder/tessera" caption -m tests/placeholder tests/vectors/models/chat-a/expect/png.png | grep -q . ||
    complain "the caption is empty"
exit $bad
