#!/usr/bin/env bash
# Every slot of tsr_ops that is an op has a kernel case that calls its front door, and CTest runs every case.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bad=0
slots=$(sed -nE '/^typedef struct tsr_ops/,/^\} tsr_ops/s/^ *tsr_([a-z_]+)_fn \*([a-z_]+);.*/\2/p' kernels/ops.h |
    grep -vE '^(linear_bytes|linear_pack|input_form|fuses_norm|linear_writes|ceiling)$')
[ "$(wc -w <<<"$slots")" -ge 20 ] || { echo "every-op: the slots of tsr_ops were not found in kernels/ops.h"; exit 1; }
for slot in $slots; do
    grep -qE "tsr_$slot\(t->q" tests/kernels/*.c || { echo "kernels/ops.h: slot '$slot' has no case in tests/kernels"; bad=1; }
    sed -n '/^add_test(NAME kernels/,/)/p' tests/kernels/CMakeLists.txt | grep -qw "$slot" ||
        { echo "tests/kernels/CMakeLists.txt: no test runs the case '$slot'"; bad=1; }
done
exit $bad
