#!/usr/bin/env bash
# tests/cuda.sh [--prebuilt DIR] [--full]: everything that needs a GPU, with one short table last.
#
# Without DIR it builds the kernels, their checker and their bench where it stands, which takes nvcc and CMake and
# nothing else. With it, everything runs from a carried build (build/portable), the whole program too. --full adds
# more seeds, the kernels' times, the portable variants from PTX where this script can build them, and the
# comparison at full size. Exit code: 0 when nothing failed; what could not run is said.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here" || exit 1

prebuilt= full=no
while [ $# -gt 0 ]; do
    case "$1" in
        --prebuilt) [ $# -ge 2 ] || { echo "tests/cuda.sh: --prebuilt DIR" >&2; exit 2; }; prebuilt=$2; shift ;;
        --full) full=yes ;;
        *) echo "usage: tests/cuda.sh [--prebuilt DIR] [--full]" >&2; exit 2 ;;
    esac
    shift
done

build=${prebuilt:-build/cuda-kernels}
logs=${OUT:-$build}/cuda-logs
mkdir -p "$logs" || exit 1
rows=()
failed=0
row() { rows+=("$(printf '%-26s %-7s %6s  %s' "$1" "$2" "$3" "$4")"); [ "$2" != FAILED ] || failed=$((failed + 1)); }

# stage NAME COMMAND...: run it; the last line of its output goes into the table.
stage() {
    local name=$1 log="$logs/${1// /-}.log" began=$SECONDS
    shift
    echo "== $name"
    if "$@" >"$log" 2>&1 </dev/null; then
        row "$name" ok "$((SECONDS - began)) s" "$(tail -n 1 "$log" | cut -c 1-90)"
        return 0
    fi
    row "$name" FAILED "$((SECONDS - began)) s" "$(grep -m 1 -E 'FAIL|error|tessera:|kernels:|endtoend:' "$log" | cut -c 1-120)"
    tail -n 20 "$log"
    return 1
}

# finish: the table, whatever happened before.
finish() {
    echo
    printf '%s\n' "${rows[@]}"
    echo "$failed failed; logs in $logs"
    [ "$failed" = 0 ]
    exit
}

build_kernels() { # FOLDER CMAKE-OPTION...
    local folder=$1
    shift
    cmake -S . -B "$folder" -DCMAKE_BUILD_TYPE=Release -DTESSERA_KERNELS_ONLY=ON -DTESSERA_CUDA=ON "$@" &&
        cmake --build "$folder" -j "$(nproc)"
}

# A module lies beside whoever opens it; carried folders may have lost their links.
link_module() { # FOLDER PROGRAM
    local module=$1/apps/tessera-cuda.so
    [ -e "$module" ] || { echo "$module is missing"; return 1; }
    ln -sf "$(realpath "$module")" "$(dirname "$2")/tessera-cuda.so" 2>/dev/null ||
        [ -e "$(dirname "$2")/tessera-cuda.so" ]
}

gpu=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null | head -n 1)
row GPU "${gpu:+ok}" "" "${gpu:-nvidia-smi does not answer}"

if [ -z "$prebuilt" ]; then
    stage build build_kernels "$build" || finish
fi
kernels=$build/tests/kernels/kernels
[ -x "$kernels" ] || { row kernels FAILED "" "$kernels is missing"; finish; }
link_module "$build" "$kernels" || { row module FAILED "" "$build/apps/tessera-cuda.so is missing"; finish; }

# ---------------------------------------------------------------- the checker

ops=$("$kernels" --list)
check_ops() { # SEEDS: each op on its own, so that a device that fails takes one op with it
    local bad=0 op
    for op in $ops; do
        timeout 300 "$kernels" "$op" --level cuda ${1:+--seeds "$1"} || { bad=$((bad + 1)); echo "FAIL $op"; }
    done
    echo "$(wc -w <<<"$ops") ops, $bad failed"
    [ "$bad" = 0 ]
}
if [ $full = yes ]; then
    stage checker check_ops
else
    stage checker check_ops 20
fi

# ---------------------------------------------------------------- compute-sanitizer

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
# A tool that refuses to work on this machine says so before anything has run; its words are quoted.
sanitize() { # TOOL
    local log="$logs/$1.log" began=$SECONDS seeds=2
    [ $full = yes ] && seeds=6
    if [ -z "$sanitizer" ]; then
        row "$1" absent "" "compute-sanitizer is not installed; guard bands, poison and tests/emulation stand in"
        return
    fi
    echo "== $1"
    # shellcheck disable=SC2086
    timeout 540 "$sanitizer" --tool "$1" --error-exitcode 9 "$kernels" $ops --level cuda \
        --seeds "$seeds" >"$log" 2>&1 </dev/null
    local code=$?
    local summary refusal
    summary=$(grep -E '(ERROR|RACECHECK) SUMMARY' "$log" | tail -n 1 | sed 's/^=* *//')
    refusal=$(grep -m 1 -iE 'not supported|insufficient|permission|unable to|failed to (init|attach|start)|device not' "$log")
    if [ $code = 0 ]; then
        row "$1" ok "$((SECONDS - began)) s" "$summary"
    elif ! grep -q 'seeds' "$log" && [ -n "$refusal" ]; then
        row "$1" refused "" "\"$(sed 's/^=* *//' <<<"$refusal" | cut -c 1-100)\""
    else
        row "$1" FAILED "$((SECONDS - began)) s" "${summary:-exit code $code}"
        grep -m 20 '=========' "$log"
    fi
}
sanitize memcheck
sanitize racecheck
sanitize synccheck

# ---------------------------------------------------------------- whole checkpoints

endtoend=$build/tests/device/endtoend
if [ -x "$endtoend" ]; then
    link_module "$build" "$endtoend"
    cp -n "$build"/apps/libcjson.so.* "$(dirname "$endtoend")/" 2>/dev/null
    stage "end to end" "$endtoend" cuda tests/vectors/models
    link_module "$build" "$build/apps/tessera"
    caption() { "$build/apps/tessera" caption --backend cuda -m tests/placeholder tests/vectors/models/chat-a/expect/png.png; }
    stage caption caption
else
    row "end to end" absent "" "only with --prebuilt: the program needs more than a CUDA toolkit to build"
fi

# ---------------------------------------------------------------- --full

if [ $full = yes ]; then
    stage times "$kernels" --level cuda --bench
    if command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
        if stage "build for PTX" build_kernels build/cuda-ptx -DTESSERA_CUDA_ARCHITECTURES=80-virtual; then
            ptx() {
                local bad=0 op
                for op in $ops; do
                    CUDA_FORCE_PTX_JIT=1 timeout 300 build/cuda-ptx/tests/kernels/kernels "$op" --level cuda --seeds 10 ||
                        { bad=$((bad + 1)); echo "FAIL $op"; }
                done
                echo "$bad ops failed from compute_80 PTX"
                [ "$bad" = 0 ]
            }
            stage "checker from PTX" ptx
        fi
    else
        row "checker from PTX" absent "" "no nvcc here to build it"
    fi
fi
finish
