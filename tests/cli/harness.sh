# tests/cli/harness.sh: run the program and look at what it did; sourced by the scripts beside it, with the program's
# path in $1. They run in the repository's folder, and a failed look says which line asked.
set -uo pipefail
tessera=$(realpath "$1")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
code= failures=0
: >"$tmp/out" >"$tmp/err"

picture=tests/vectors/models/chat-a/expect/png.png
upright=tests/vectors/images/exif-1.jpg
words=tests/vectors/models/chat-a # a checkpoint that goes on for as long as it may
random=tests/placeholder          # a checkpoint of random weights that says so, and stops early

complain() {
    echo "line ${BASH_LINENO[${#BASH_LINENO[@]} - 2]}: $1"
    echo "  stdout: $(head -c 400 "$tmp/out")"
    echo "  stderr: $(head -c 400 "$tmp/err")"
    failures=$((failures + 1))
}

# Standard input is empty unless a script redirects it: run ... <FILE
run() { code=0; "$tessera" "$@" >"$tmp/out" 2>"$tmp/err" || code=$?; }
gives() { [ "$code" = "$1" ] || complain "exit code $code, wanted $1"; }
says() { grep -qF -- "$1" "$tmp/out" || complain "stdout lacks: $1"; }
warns() { grep -qF -- "$1" "$tmp/err" || complain "stderr lacks: $1"; }
is_silent() { [ ! -s "$tmp/$1" ] || complain "std$1 should be empty"; }
has_lines() { [ "$(wc -l <"$tmp/out")" = "$1" ] || complain "stdout has $(wc -l <"$tmp/out") lines, wanted $1"; }
json() { jq -es "all(.[]; $1)" <"$tmp/out" >"$tmp/jq" 2>&1 || complain "JSON: $1 does not hold"; } # of every document
one_message() { # a failure is one line on stderr, and nothing on stdout
    is_silent out
    [ "$(grep -c '^tessera: ' "$tmp/err")" -ge 1 ] && ! grep -qv '^tessera: ' "$tmp/err" || complain "stderr is no message"
}
finish() { [ $failures = 0 ] && exit 0; exit 1; }
exec </dev/null
