#!/usr/bin/env bash
# Rules that a script can hold: format, comments, names, sizes, and no word about the machine it was made on.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bad=0
complain() { echo "$1"; bad=1; }
tracked() { git ls-files --cached --others --exclude-standard "$@"; }

# The layout of the text. Other versions of clang-format lay out a few lines differently, so only this one judges.
formatter=
for candidate in clang-format-14 clang-format; do
    command -v $candidate >/dev/null && $candidate --version | grep -q 'version 14\.' && formatter=$candidate && break
done
if [ -n "$formatter" ]; then
    tracked '*.c' '*.h' '*.cu' '*.cuh' | xargs -r $formatter --dry-run -Werror || bad=1
else
    echo "clang-format 14 is not here; the layout was not checked"
fi

for file in $(tracked '*.c' '*.h'); do
    head -n 1 "$file" | grep -qE "^/\* $file: " || complain "$file: the first line should be /* $file: what lives here"
    grep -nE '(^|[^:"])//' "$file" | grep -vE 'https?://' | grep -E '^\s*[0-9]+:\s*//' && complain "$file: comments are /* */"
    grep -nE 'TODO' "$file" | grep -vE 'TODO\(#[0-9]+\)' && complain "$file: a TODO carries an issue number"
done

# Sizes: the tree without the default model travels under 14 MiB, vectors 6, samples 4.
sum() { tracked "$@" | grep -v '^assets/default-model/' | tr '\n' '\0' | du -cb --files0-from=- 2>/dev/null | tail -n 1 | cut -f 1; }
limit() { [ "$2" -le $(($3 * 1048576)) ] || complain "$1: $2 bytes, more than $3 MiB"; }
limit "the tracked tree" "$(sum)" 14
limit tests/vectors "$(sum tests/vectors)" 6
limit assets/samples "$(sum assets/samples)" 4

# The project speaks of itself alone.
tracked | grep -vE '\.(png|jpg|jpeg|npy|safetensors)$' | xargs -r grep -nIE '(^|[^a-zA-Z0-9_.])/(work|root|home/[a-z]+|tmp/[a-z]+)/' \
    && complain "a path of some machine stands in the lines above"
exit $bad
