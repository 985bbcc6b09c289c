#!/usr/bin/env bash
# ./test.sh: everything that must hold before a change lands, in about ten minutes on two cores.
# ./test.sh --full: the second compiler, all sanitizers, emulation of an old processor, every allocation
# failure and the fuzz corpora as well; an issue is resolved only after it passed.
#
# Quiet: one line per stage; the output of a failing stage is shown and kept in build/test-logs/.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here" || exit 1
. tools/packages.sh

full=no
case "${1-}" in
    '') ;;
    --full) full=yes ;;
    *) echo "usage: ./test.sh [--full]" >&2; exit 2 ;;
esac

logs=build/test-logs
mkdir -p "$logs"
jobs=$(nproc)
failed=()
passed=0

# stage NAME COMMAND...: run it, print its time, and on failure the end of its output. Exit code 77: it lacks something.
stage() {
    local name=$1 began=$SECONDS code=0
    shift
    "$@" >"$logs/$name.log" 2>&1 </dev/null || code=$?
    if [ $code = 0 ]; then
        passed=$((passed + 1))
        printf '%-28s ok   %4d s\n' "$name" $((SECONDS - began))
    elif [ $code = 77 ]; then
        printf '%-28s %s\n' "$name" "$(tail -n 1 "$logs/$name.log")"
    else
        failed+=("$name")
        printf '%-28s FAIL %4d s\n' "$name" $((SECONDS - began))
        tail -n 60 "$logs/$name.log"
        echo "(all of it: $logs/$name.log)"
    fi
}

# build PRESET [CMAKE OPTION...]
build() {
    local preset=$1
    shift
    cmake --preset "$preset" -DTESSERA_TESTS=ON "$@" && cmake --build "build/$preset" -j "$jobs"
}

# tests PRESET [CTEST OPTION...]
tests() { ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j "$jobs" "${@:2}"; }

have_nvcc() { command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; }

# What reads foreign bytes, and what runs on several threads.
parsers='^(fuzz_|kernels_emulated$|unit_(json|safetensors|npy|map|hub|exif|images|tiles|tokenizer|pretokenize|chat)$|runtime_bad_input)'
threads='^(unit_(base|resize)$|runtime_session)'

# shellcheck disable=SC2086
need_packages $BUILD_PACKAGES $TEST_PACKAGES || exit 1

stage layering tests/layering.sh
stage house-rules tests/house.sh
stage build build release
stage tests tests release
stage install tests/install.sh build/release
stage build-asan build asan
stage tests-asan tests asan -R "$parsers"

if [ $full = yes ]; then
    # shellcheck disable=SC2086
    need_packages $FULL_PACKAGES || exit 1
    stage links tests/links.sh
    stage tests-asan-all tests asan -E "$parsers"
    stage emulated build/release/tests/kernels/kernels --level emulated
    stage emulated-asan build/asan/tests/kernels/kernels --level emulated --seeds 25
    command -v nvcc >/dev/null && stage cuda-report tests/cuda_report.sh
    stage golden-scalar env TSR_CPU=scalar build/release/tests/default-model/test_default_model_golden all
    stage every-allocation build/asan/tests/runtime/test_runtime_allocation all
    stage build-clang build clang
    stage tests-clang tests clang
    stage build-tsan build tsan
    stage tests-tsan tests tsan -R "$threads"
    stage kernels-tsan build/tsan/tests/kernels/kernels --seeds 8
    stage build-portable build portable
    stage tests-portable tests portable -R '^kernels_|^model_'
    stage portable tests/portable.sh build/portable
    stage old-processor tests/westmere.sh build/release
    if have_nvcc; then # three architectures; build/release has the module for one
        stage build-cuda build cuda -DTESSERA_KERNELS_ONLY=ON "-DTESSERA_CUDA_ARCHITECTURES=80-real;89-real;90a-real"
    fi
    stage build-fuzz build fuzz
    stage fuzz-corpora tests/fuzz/corpora.sh build/fuzz
    stage transformers tests/transformers.sh build/release # skipped where there is no Python with transformers
fi

echo "${passed} passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ]
