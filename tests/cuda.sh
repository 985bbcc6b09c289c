#!/usr/bin/env bash
# tests/cuda.sh [--prebuilt DIR] [--full] [--only PART,...]: everything that needs a GPU, with one short table last.
#
# Without DIR it builds the kernels, their checker and their bench where it stands, which takes nvcc and CMake and
# nothing else. With it, everything runs from a carried build (build/portable), the whole program too. --full adds
# more seeds, the kernels' times, the portable variants from PTX (a module of them carried as DIR/ptx/tessera-cuda.so,
# or built here), the comparison at full size, which takes python3 with torch and 17 GB below ${TMPDIR:-/tmp}, and the
# speed of the whole model. The parts are checker, faults, sanitizer, models, times, ptx, size and speed; ops are
# checked several at a time, those that are timed alone. Exit code: 0 when nothing failed; what could not run is said.
# shellcheck disable=SC2317 # stage calls what it is told to
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here" || exit 1

prebuilt='' full=no only=checker,faults,sanitizer,models,times,ptx,size,speed
while [ $# -gt 0 ]; do
    case "$1" in
        --prebuilt) [ $# -ge 2 ] || { echo "tests/cuda.sh: --prebuilt DIR" >&2; exit 2; }; prebuilt=$2; shift ;;
        --full) full=yes ;;
        --only) [ $# -ge 2 ] || { echo "tests/cuda.sh: --only PART,..." >&2; exit 2; }; only=$2; shift ;;
        *) echo "usage: tests/cuda.sh [--prebuilt DIR] [--full] [--only PART,...]" >&2; exit 2 ;;
    esac
    shift
done

build=${prebuilt:-build/cuda-kernels}
logs=${OUT:-$build}/cuda-logs
mkdir -p "$logs" || exit 1
rows=()
failed=0
wanted() { [[ ,$only, == *,$1,* ]]; }
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
    row "$name" FAILED "$((SECONDS - began)) s" "$(grep -m 1 -E 'FAIL|DIFFERENT|error|tessera:|kernels:|endtoend:|decode:' "$log" | cut -c 1-120)"
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
# each_op FOLDER COMMAND...: COMMAND OP for every op, as many at once as there are cores: ref takes most of the time.
# A process for each, so that a device that fails takes one op with it.
each_op() {
    local folder=$1 op bad=0
    shift
    rm -rf "$folder" && mkdir -p "$folder" || return 1
    for op in $ops; do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        { timeout 500 "$@" "$op" || echo "FAIL $op: exit code $?"; } >"$folder/$op.log" 2>&1 &
    done
    wait
    for op in $ops; do
        cat "$folder/$op.log"
        ! grep -q '^FAIL' "$folder/$op.log" || bad=$((bad + 1))
    done
    echo "$(wc -w <<<"$ops") ops, $bad failed"
    [ "$bad" = 0 ]
}
check_ops() { # NAME KERNELS [--seeds N]
    local name=$1 program=$2
    shift 2
    each_op "$logs/$name" "$program" --level cuda "$@"
}
if wanted checker; then
    if [ $full = yes ]; then stage checker check_ops checker "$kernels"; else stage checker check_ops checker "$kernels" --seeds 20; fi
fi

# ---------------------------------------------------------------- a device that fails

fault=$(dirname "$kernels")/fault
faults() {
    timeout 60 "$fault" memory && timeout 60 "$fault" kernel && TSR_SYNC=1 timeout 60 "$fault" kernel
}
# One line of message and exit code 1.
refused() { # WHAT COMMAND...
    local what=$1 code=0 said
    shift
    said=$(timeout 60 "$@" 2>&1 >/dev/null) || code=$?
    echo "$said"
    [ "$code" = 1 ] && [ "$(grep -c . <<<"$said")" = 1 ] && grep -q "$what" <<<"$said" && return
    echo "FAIL exit code $code, and one line with '$what' was wanted"
    return 1
}
refusals() {
    local tessera=$build/apps/tessera picture=tests/vectors/models/chat-a/expect/png.png
    refused "GPU" env CUDA_VISIBLE_DEVICES= "$tessera" caption -q --backend cuda -m tests/placeholder "$picture" &&
        refused "GiB" "$tessera" caption -q --backend cuda -c 16000000 --kv f32 -m assets/default-model "$picture"
}
if wanted faults; then
    stage faults faults
    [ -x "$build/apps/tessera" ] && stage refusals refusals
fi

# ---------------------------------------------------------------- compute-sanitizer

sanitizer=$(command -v compute-sanitizer || command -v "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer")
# A tool that refuses to work on this machine says so before anything has run; its words are quoted.
sanitize() { # TOOL
    local log="$logs/$1.log" began=$SECONDS seeds=2 code=0 summary refusal
    [ $full = yes ] && seeds=6
    if [ -z "$sanitizer" ]; then
        row "$1" absent "" "compute-sanitizer is not installed; guard bands, poison and tests/emulation stand in"
        return
    fi
    echo "== $1"
    each_op "$logs/$1" "$sanitizer" --tool "$1" --error-exitcode 9 "$kernels" --level cuda --seeds "$seeds" \
        >"$log" 2>&1 </dev/null || code=$?
    summary=$(sed -nE 's/^=* *((ERROR|RACECHECK) SUMMARY: .*)/\1/p' "$log" | sort | uniq -c | sort -n | head -n 1)
    refusal=$(grep -m 1 -iE 'not supported|insufficient|permission|unable to|failed to (init|attach|start)|device not' "$log")
    if [ $code = 0 ]; then
        row "$1" ok "$((SECONDS - began)) s" "$(tail -n 1 "$log"), $seeds seeds:$summary"
    elif ! grep -q 'seeds' "$log" && [ -n "$refusal" ]; then
        row "$1" refused "" "\"$(cut -c 1-100 <<<"${refusal##*= }")\""
    else
        row "$1" FAILED "$((SECONDS - began)) s" "$(tail -n 1 "$log"):$summary"
        grep -m 20 -E '=========|^FAIL' "$log"
    fi
}
if wanted sanitizer; then
    sanitize memcheck
    sanitize racecheck
    sanitize synccheck
fi

# ---------------------------------------------------------------- whole checkpoints

endtoend=$build/tests/device/endtoend
if wanted models && [ -x "$endtoend" ]; then
    link_module "$build" "$endtoend"
    cp -n "$build"/apps/libcjson.so.* "$(dirname "$endtoend")/" 2>/dev/null
    stage "end to end" "$endtoend" cuda tests/vectors/models
    stage "decoding ahead" "$build/tests/device/decode" cuda tests/vectors/models/*
    caption() { "$build/apps/tessera" caption --backend cuda -m tests/placeholder tests/vectors/models/chat-a/expect/png.png; }
    stage caption caption
elif wanted models; then
    row "end to end" absent "" "only with --prebuilt: the program needs more than a CUDA toolkit to build"
fi

# ---------------------------------------------------------------- --full

[ $full = yes ] || finish
wanted times && stage times "$kernels" --level cuda --bench

nvcc=$(command -v nvcc || command -v "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
check_ptx() { # KERNELS: the driver compiles what the module has, which takes an op's process up to half a minute
    CUDA_FORCE_PTX_JIT=1 stage "checker from PTX" check_ops ptx "$1" --seeds 10
}
if wanted ptx && [ -e "$build/ptx/tessera-cuda.so" ]; then
    cp -f "$kernels" "$build/ptx/kernels" && check_ptx "$build/ptx/kernels"
elif wanted ptx && [ -n "$nvcc" ]; then
    stage "build for PTX" build_kernels build/cuda-ptx -DTESSERA_CUDA_ARCHITECTURES=80-virtual &&
        check_ptx build/cuda-ptx/tests/kernels/kernels
elif wanted ptx; then
    row "checker from PTX" absent "" "no nvcc here to build it"
fi

# Full size: a random checkpoint, its reference in PyTorch, and what the runtime makes of it in bf16 and in FP8.
if wanted size; then
    teacher=$build/tests/device/teacher
    big=$(mktemp -d) || exit 1
    trap 'rm -rf "$big"' EXIT
    teach() { # FOLDER DTYPE
        mkdir -p "$1" && "$teacher" cuda "$big/model" "$big/model/ids.txt" 512 "$1" "$2"
    }
    if ! python3 -c 'import torch, safetensors; assert torch.cuda.is_available()' 2>/dev/null; then
        row "full size" absent "" "python3 with torch, safetensors and a GPU is wanted"
    elif [ ! -x "$teacher" ]; then
        row "full size" absent "" "only with --prebuilt"
    else
        link_module "$build" "$teacher"
        oracle() { python3 tools/oracle_gpu.py "$@"; }
        stage "full-size weights" oracle make --model "$big/model" &&
            stage "full-size loading" "$build/tests/device/loading" cuda "$big/model" &&
            stage "full-size reference" oracle run --model "$big/model" --out "$big/reference" &&
            stage "full size, bf16" teach "$big/bf16" bf16 &&
            stage "bf16 beside PyTorch" oracle compare --out "$big/reference" --trace "$big/bf16" &&
            rm -rf "$big/bf16" &&
            stage "full size, FP8" teach "$big/fp8" fp8 &&
            stage "FP8 beside PyTorch" oracle compare --out "$big/reference" --trace "$big/fp8" --quantised
    fi
fi

# Speed, with random weights: the rows of the target table, the headline, and how much of a step the device idles.
# What a row does not reach is no failure here.
tessera=$build/apps/tessera
speed() { # NAME ARGUMENTS...
    local log="$logs/$1.txt" began=$SECONDS
    echo "== $1"
    shift
    "$tessera" bench --backend cuda "$@" >"$log" 2>"$log.err" && return 0
    row "bench $1" FAILED "$((SECONDS - began)) s" "$(grep -v 'made up' "$log.err" | tail -n 1)"
    return 1
}
if wanted speed && [ -x "$tessera" ]; then
    nvidia-smi --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv -lms 500 >"$logs/clocks.csv" 2>&1 &
    smi=$!
    began=$SECONDS
    if speed table --table all; then
        cat "$logs/table.txt"
        row table ok "$((SECONDS - began)) s" "$(grep -c ': yes, aim' "$logs/table.txt") of $(grep -c ', aim' "$logs/table.txt") rows reach what is asked"
    fi
    began=$SECONDS
    if speed headline --headline --fp8; then
        cat "$logs/headline.txt"
        row headline ok "$((SECONDS - began)) s" "$(grep 'times as fast' "$logs/headline.txt" | cut -c 1-90)"
    fi
    busy=$logs/busy.so cuda=${CUDA_HOME:-/usr/local/cuda}
    if [ -n "$nvcc" ] && "$nvcc" -shared -cudart none -Xcompiler=-fPIC -o "$busy" tests/device/busy.c -lcupti 2>"$logs/busy.log"; then
        export LD_LIBRARY_PATH=$cuda/lib64:$cuda/extras/CUPTI/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        CUDA_INJECTION64_PATH=$(realpath "$busy") speed watched --table 1 --repeats 3
        works=$(sed -n 's/^busy: .* \([0-9.]*\) us each/\1/p' "$logs/watched.txt.err")
        takes=$(awk '$1 == 1 && $2 == "decode," { print $6 * 1000 }' "$logs/table.txt")
        [ -n "$works" ] && [ -n "$takes" ] &&
            row idle ok "" "$(awk "BEGIN { printf \"%.1f%% of a step of batch 1: %.0f us of kernels in %.0f us\", 100 * (1 - $works / $takes), $works, $takes }")"
    else
        row idle absent "" "nvcc and CUPTI are wanted"
    fi
    kill $smi 2>/dev/null
elif wanted speed; then
    row speed absent "" "only with --prebuilt"
fi
finish
