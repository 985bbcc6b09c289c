# tools/packages.sh: the Debian packages that building and testing need; sourced by tessera.sh and test.sh.
#
# need_packages PACKAGE...: install those that are missing, asking sudo when this is not root. A name of the form
# a|b is met by either; the first that the distribution has is installed.

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libjpeg62-turbo-dev libpng-dev libcjson-dev
                libpcre2-dev libstb-dev libdnnl-dev"
TEST_PACKAGES="libcmocka-dev g++ git jq"
FULL_PACKAGES="clang libclang-rt-dev|libclang-rt-14-dev llvm qemu-user"

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }

is_met() {
    local name
    for name in ${1//|/ }; do is_installed "$name" && return 0; done
    return 1
}

# The first of a|b that can be installed here; a itself when none can, so that apt names it.
choose() {
    local name
    for name in ${1//|/ }; do
        apt-cache show "$name" >/dev/null 2>&1 && { echo "$name"; return; }
    done
    echo "${1%%|*}"
}

need_packages() {
    command -v dpkg-query >/dev/null || return 0 # not Debian: CMake names what it misses
    local missing=() entry
    for entry in "$@"; do is_met "$entry" || missing+=("$entry"); done
    [ ${#missing[@]} -eq 0 ] && return 0

    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "missing packages: ${missing[*]} (install them as root)" >&2; return 1; }
        as_root=(sudo)
    fi
    echo "installing ${missing[*]} ..." >&2
    "${as_root[@]}" apt-get update -qq || true
    local chosen=()
    for entry in "${missing[@]}"; do chosen+=("$(choose "$entry")"); done
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${chosen[@]}" \
        >/dev/null || { echo "apt-get could not install: ${chosen[*]}" >&2; return 1; }
}
