#!/usr/bin/env bash
# tools/readme.sh PROGRAM [--check]: write what the default model says of a picture into README.md, between the two
# comments that name this script; with --check compare only, and show the difference.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$(realpath "$1")
picture=assets/samples/receipt.png
questions=(
    "What is the total?"
    "What is the date?"
    "What was bought?"
    "Return JSON with keys: vendor, date, total."
    "What is the most expensive item?"
)

begin='<!-- tools/readme.sh: from here to the next comment -->'
end='<!-- tools/readme.sh: to here -->'
grep -qxF "$begin" README.md && grep -qxF "$end" README.md || { echo "README.md lacks the two comments"; exit 1; }

new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
    sed "/^${begin//\//\\/}\$/q" README.md
    echo "<img src=\"$picture\" alt=\"a till receipt on a dark table\" width=\"320\">"
    echo
    echo "> *$("$program" caption --quiet "$picture")*"
    echo
    echo "| asked | answered |"
    echo "| --- | --- |"
    for question in "${questions[@]}"; do
        echo "| $question | \`$("$program" ask --quiet "$picture" -p "$question" </dev/null)\` |"
    done
    echo
    sed -n "/^${end//\//\\/}\$/,\$p" README.md
} >"$new"

if [ "${2-}" = --check ]; then
    diff README.md "$new" || { echo "README.md (<) and the program (>) differ: run tools/readme.sh"; exit 1; }
else
    cp "$new" README.md
fi
