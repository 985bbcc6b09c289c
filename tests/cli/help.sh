# tests/cli/help.sh: every command explains itself, and what its help names as an example is well formed.
. "$(dirname "$0")/harness.sh" "$1"

run --help; gives 0; is_silent err
for command in caption ask inspect plan info trace tokenize bench quantize; do
    says "tessera $command"
done
first=$(cat "$tmp/out")
for same in help -h; do
    run $same; gives 0
    [ "$(cat "$tmp/out")" = "$first" ] || complain "$same differs from --help"
done

run; gives 2; is_silent out
run --version; gives 0
grep -qE '^tessera [0-9]+\.[0-9]+\.[0-9]+$' "$tmp/out" || complain "no version"
run --list-devices; gives 0; says "cpu: "; says "ref: "

for command in caption ask inspect plan info trace tokenize bench quantize; do
    for flag in --help -h; do
        run $command $flag; gives 0; is_silent err
        says "tessera $command"; says "For example:"; says "--help"
    done
    # Every flag that the example uses is one of those listed.
    example=$(sed -n '/For example:/,/Flags:/p' "$tmp/out" | grep -oE ' --?[a-z-]+' | sort -u)
    listed=$(sed -n '/Flags:/,$p' "$tmp/out")
    for flag in $example; do
        grep -qE -- "(^| )$flag(,| )" <<<"$listed" || complain "$command: the example's $flag is not listed"
    done
done
finish
