#!/usr/bin/env bash
# tests/transformers.sh BUILD: the default model in transformers against the program, and the trainer's tiles against the
# program's. Needs a Python with tools/train/requirements.txt, python3 or what TESSERA_PYTHON names; skipped without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tessera=$(realpath "$1")/apps/tessera
python=${TESSERA_PYTHON:-python3}
"$python" -c 'import torch, transformers, safetensors, tokenizers, numpy, PIL' 2>/dev/null || {
    echo "skipped: no Python with torch, transformers and Pillow (TESSERA_PYTHON=... names one)"
    exit 77
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
model=assets/default-model

"$python" tools/train/test_tiles.py "$tessera"
"$python" tools/train/export.py $model --check
compare() { # compare TOLERANCE PICTURE ARGS...
    "$tessera" trace --quiet -m $model --dtype f32 --image "$2" -p "Describe this image." -o "$tmp/trace" "${@:3}"
    "$python" tools/train/reference.py $model "$tmp/trace" "$1"
    rm -r "$tmp/trace"
}
# Keys and values are kept in bf16 for a bf16 checkpoint, also by ref, so the decoder agrees to 2^-9 and not to f32.
compare 2e-3 tests/default-model/expected/scene.png --backend ref
compare 2e-3 tests/default-model/expected/paragraph.png --backend ref
compare 1e-2 assets/samples/receipt.png
