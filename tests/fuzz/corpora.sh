#!/usr/bin/env bash
# tests/fuzz/corpora.sh BUILD: every fuzz target over its whole corpus, once, without mutation; a target without a
# corpus, or a corpus without a target, is a failure too.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
build=$1
bad=0
complain() { echo "$1"; bad=1; }

for corpus in tests/fuzz/corpus/*/; do
    [ -x "$build/tests/fuzz/fuzz_$(basename "$corpus")" ] || complain "$corpus: no target fuzz_$(basename "$corpus")"
done
for target in "$build"/tests/fuzz/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    seeds=$(find "tests/fuzz/corpus/$name" -type f 2>/dev/null | wc -l)
    [ "$seeds" -gt 0 ] || { complain "fuzz_$name: no seeds in tests/fuzz/corpus/$name"; continue; }
    if "$target" -runs=0 "tests/fuzz/corpus/$name" >"$build/fuzz_$name.log" 2>&1; then
        echo "fuzz_$name: $seeds seeds"
    else
        complain "fuzz_$name failed:"
        tail -n 30 "$build/fuzz_$name.log"
    fi
done
exit $bad
