#!/usr/bin/env bash
# tests/westmere.sh BUILD: the same binaries on a processor of 2010, without AVX: the kernel checker on every op, and
# one caption, under QEMU's emulation of a Westmere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
westmere() { qemu-x86_64 -cpu Westmere "$@"; }

devices=$(westmere "$build/apps/tessera" --list-devices)
echo "$devices"
grep -q scalar <<<"$devices" || { echo "the emulated processor was expected to have the scalar level only"; exit 1; }

for op in $("$build/tests/kernels/kernels" --list | awk '{ print $1 }'); do
    westmere "$build/tests/kernels/kernels" "$op" --seeds 3 --level scalar
done

picture=tests/vectors/models/chat-a/expect/png.png
caption=$(westmere "$build/apps/tessera" caption -m tests/placeholder -n 8 --max-tiles 1 "$picture")
echo "$picture:$caption"
[ -n "$caption" ]
