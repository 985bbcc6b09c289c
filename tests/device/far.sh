#!/usr/bin/env bash
# tests/device/far.sh FOLDER PROGRAM [COMMAND...]: PROGRAM as it runs where there is a GPU, whose place is taken by
# FOLDER/lib/libcuda.so.1 and FOLDER/tessera-cuda.so. COMMAND is given the program's path last.
set -euo pipefail
folder=$1 program=$2
shift 2
beside=$folder/$(basename "$program")
ln -f "$program" "$beside" 2>/dev/null || cp "$program" "$beside"
export LD_LIBRARY_PATH=$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec "$@" "$beside"
