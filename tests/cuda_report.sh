#!/usr/bin/env bash
# What the CUDA compiler says about our kernels: nothing spills, nothing needs a stack, and shared memory and
# registers leave room for a block on every architecture we name. Known, at most 16 bytes of stack each: linear_wide,
# whose consumers hold 128 sums a thread beside what their ends need; rows of attention over pages on sm_80.
#
#   tests/cuda_report.sh [-v] [FILE.cu...]
#
# -v prints registers and shared memory of every kernel. Without nvcc there is nothing to ask: exit 77.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
nvcc=$(command -v nvcc || command -v "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
[ -n "$nvcc" ] || { echo "nvcc is not here; nothing was asked of it"; exit 77; }
verbose=no
[ "${1-}" = -v ] && { verbose=yes; shift; }
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(kernels/cuda/*.cu)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

report() { # FILE NUMBER [LETTER]: with the definitions that kernels/cuda/CMakeLists.txt gives
    "$nvcc" -std=c++17 -I. -D_GNU_SOURCE -DTSR_CUDA_ARCHITECTURES='""' -Xptxas -v -cubin \
        -gencode="arch=compute_$2${3-},code=sm_$2${3-}" "$1" -o "$work/a.cubin" >"$work/$2" 2>&1 && return
    { cat "$work/$2"; echo "$1 does not compile"; } >&2
    exit 1
}
for file in "${files[@]}"; do
    report "$file" 80
    report "$file" 89
    report "$file" 90 a
    grep -h warning "$work/80" "$work/89" "$work/90" | sort -u
    for arch in 80 89 90; do
        sed "s|^|$file $arch |" "$work/$arch"
    done
done >"$work/all"

# "Compiling entry function 'X'", then "N bytes stack frame, N bytes spill stores, ...", then "Used N registers ...".
# A block of 8.9 may have 99 KiB of shared memory, those of 8.0 and 9.0 more; static memory alone is in the report.
awk -v verbose="$verbose" '
    /warning/ { print; bad = 1 }
    /Compiling entry function/ { name = $0; sub(/.*function ./, "", name); sub(/. for .*/, "", name) }
    /bytes stack frame/ {
        stack = $0; sub(/ bytes stack frame.*/, "", stack); sub(/.* /, "", stack)
        spill = $0; sub(/.*frame, /, "", spill)
        known = stack + 0 <= 16 && ($1 == "kernels/cuda/linear_wide.cu" || ($1 == "kernels/cuda/kv_attend.cu" && $2 == 80))
        if ((spill !~ /^0 bytes spill stores, 0 bytes spill loads/ || stack != 0) && !known) {
            print $1 " sm_" $2 " " name ": " stack " bytes of stack, " spill; bad = 1
        }
    }
    /Used [0-9]+ registers/ {
        registers = $0; sub(/.*Used /, "", registers); sub(/ .*/, "", registers)
        shared = 0
        if ($0 ~ /bytes smem/) { shared = $0; sub(/ bytes smem.*/, "", shared); sub(/.* /, "", shared) }
        if (shared + 0 > 48 * 1024) { print $1 " sm_" $2 " " name ": " shared " bytes of static shared memory"; bad = 1 }
        if (verbose == "yes") printf "%-32s sm_%s %4d registers %6d bytes shared  %s\n", $1, $2, registers, shared, name
        n++
        if (registers + 0 > most + 0) most = registers
    }
    END { printf "%d kernels, at most %d registers, %s\n", n, most, bad ? "FAILED" : "no spills that are not known"; exit bad }
' "$work/all"
