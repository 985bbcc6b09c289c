#!/usr/bin/env bash
# ./tessera.sh ARGS: build what is missing, then run `tessera ARGS`.
#
# On a fresh Debian machine it installs the packages it needs first (sudo is asked for when needed). The second
# time it only looks whether a source has changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/tools/packages.sh"

build="$here/build/release"
log="$build.log"

build_quietly() {
    mkdir -p "$here/build"
    {
        [ -f "$build/build.ninja" ] || cmake -S "$here" --preset release -DTESSERA_TESTS=OFF
        cmake --build "$build" --target tessera
    } >"$log" 2>&1 || { tail -n 30 "$log" >&2; echo "tessera.sh: the build failed; the whole log is $log" >&2; exit 1; }
}

if [ ! -x "$build/apps/tessera" ]; then
    # shellcheck disable=SC2086
    need_packages $BUILD_PACKAGES
    [ -t 2 ] && echo "building (a minute, once) ..." >&2
fi
cd "$here" && build_quietly && cd "$OLDPWD"
exec "$build/apps/tessera" "$@"
