#!/usr/bin/env bash
# The program where there is a GPU: it is chosen, it answers as ref does, and each way in which it can be missing is
# one line.
. tests/cli/harness.sh

run --list-devices; gives 0; says "cuda: far memory"
for model in $random $words; do
    run caption --json --backend ref -n 24 -m $model "$picture"; gives 0; cp "$tmp/out" "$tmp/answer"
    run caption --json --backend cuda --dtype f32 -n 24 -m $model "$picture"; gives 0
    [ "$(jq -c '[.text, .ids, .logprobs]' "$tmp/answer")" = "$(jq -c '[.text, .ids, .logprobs]' "$tmp/out")" ] ||
        complain "cuda and ref differ on $model"
done
run caption --json --backend ref --dtype fp8 --fp8-activations on -n 24 -m $words "$picture"; gives 0; cp "$tmp/out" "$tmp/answer"
run caption --json --backend cuda --dtype fp8 -n 24 -m $words "$picture"; gives 0 # whose inputs are FP8 unless told otherwise
[ "$(jq -c '[.text, .ids, .logprobs]' "$tmp/answer")" = "$(jq -c '[.text, .ids, .logprobs]' "$tmp/out")" ] ||
    complain "cuda and ref differ with weights rounded at load"
run caption -n 4 "$picture" -m $words; gives 0; warns "cuda (far memory"
for backend in ref cuda; do
    mkdir "$tmp/$backend"
    run trace --backend $backend --dtype f32 -m $words -p "a word" -o "$tmp/$backend" "$picture"; gives 0
done
diff -rq "$tmp/ref" "$tmp/cuda" >"$tmp/err" || complain "traces differ"

# The target table's row that is arithmetic; the others take a device's speed.
run bench --table 16 --synthetic small --json; gives 0; json '.[0].row == 16 and .[0].found > 0 and .[0].judged_by == "found" and .[0].least == 500'

refused() { # WHY SETTING...: with these settings --backend cuda fails with WHY, and auto does not
    why=$1
    shift
    code=0; env "$@" "$tessera" caption --backend cuda -n 2 -m $words "$picture" >"$tmp/out" 2>"$tmp/err" || code=$?
    gives 1; one_message; warns "$why"
    has_one=$(grep -c . "$tmp/err")
    [ "$has_one" = 1 ] || complain "$has_one lines instead of one"
}
falls_back() { # SETTING...
    code=0; env "$@" "$tessera" caption -n 2 -m $random "$picture" >"$tmp/out" 2>"$tmp/err" || code=$?
    gives 0
    grep -q "cuda" "$tmp/err" && complain "auto speaks of cuda without -v"
}
for reason in "FAR_DEVICES=0|finds no GPU" "FAR_DRIVER_ERROR=999|an error of the tests' choice" \
              "FAR_CAPABILITY=75|Far GPU has compute capability 7.5; 8.0 or newer is wanted" \
              "FAR_ABI=7|belongs to another version of Tessera (ABI 7" "FAR_WITHOUT_SCAN=1|has no kernel for scan" \
              "LD_LIBRARY_PATH=|no NVIDIA driver"; do
    refused "${reason#*|}" "${reason%%|*}"
    falls_back "${reason%%|*}"
done
refused "GiB on the device: weights" FAR_LIMIT=20000

# A kernel that ruins the device: one message and the end; with TSR_SYNC=1 it names the op.
ruined() { # SETTING...
    code=0; env FAR_FAULT=gated_norm "$@" timeout 60 "$tessera" caption --quiet --backend cuda -m $words "$picture" \
        >"$tmp/out" 2>"$tmp/err" || code=$?
    gives 1; one_message
    [ "$(grep -c . "$tmp/err")" = 1 ] || complain "more than one line"
}
ruined A=1; warns "an illegal address"
grep -q gated_norm "$tmp/err" && complain "an op is named that nobody waited for"
ruined TSR_SYNC=1; warns "gated_norm: far memory: an illegal address"
finish
