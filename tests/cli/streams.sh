# tests/cli/streams.sh: full disks, readers that go away, Ctrl-C, terminals.
. "$(dirname "$0")/harness.sh" "$1"

for command in "caption --max-tiles 1 $picture" "inspect $picture" "info" "plan" "tokenize -p a" "--help" "--version" "info --json"; do
    code=0
    "$tessera" $command >/dev/full 2>"$tmp/err" || code=$?
    gives 1; warns "No space left"
    "$tessera" $command 2>"$tmp/err" | true
    [ "${PIPESTATUS[0]}" -le 1 ] || complain "$command: exit ${PIPESTATUS[0]} when the reader goes away"
done

# Ctrl-C while it answers: 130, what was said so far stays, no message of failure.
: >"$tmp/out"
"$tessera" caption -m $words -n -1 -c 200000 "$picture" >"$tmp/out" 2>"$tmp/err" </dev/null &
child=$!
for _ in $(seq 100); do [ -s "$tmp/out" ] && break; sleep 0.05; done
kill -INT $child
code=0; wait $child || code=$?
gives 130
[ -s "$tmp/out" ] || complain "nothing had been said"
! grep -qi "cancel" "$tmp/err" || complain "an interrupt is no failure"

# Of several pictures, Ctrl-C ends the whole.
: >"$tmp/err"
"$tessera" caption -m $words -n -1 -c 200000 "$picture" "$picture" >"$tmp/out" 2>"$tmp/err" </dev/null &
child=$!
for _ in $(seq 100); do [ -s "$tmp/err" ] && break; sleep 0.05; done # the model is open, a picture is being read
kill -INT $child
code=0; wait $child || code=$?
gives 130

# On a terminal there is progress, without one there is none; colour nowhere.
run caption --max-tiles 1 "$picture"
! grep -q $'\033\\|\r' "$tmp/err" || complain "control characters without a terminal"
if script -qec true /dev/null >/dev/null 2>&1; then # where a terminal can be had
    script -qec "$tessera caption --max-tiles 1 $picture" /dev/null >"$tmp/terminal" </dev/null
    grep -qE 'loading|looking' "$tmp/terminal" || complain "no progress on a terminal"
    ! grep -q $'\033\[[0-9;]*m' "$tmp/terminal" || complain "colour on a terminal"
fi
finish
