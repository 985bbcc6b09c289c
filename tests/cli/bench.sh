# tests/cli/bench.sh: the speed of a made-up model, and what wants a GPU.
. "$(dirname "$0")/harness.sh" "$1"

# Without oneDNN there is no ceiling for prompts: what comes before it is the same.
ends() { grep -q "no oneDNN" "$tmp/err" || gives 0; }
few="--backend cpu --synthetic small --repeats 1 --tokens 2 --rows 16 --context 100"

run bench $few; ends; says "small on cpu"; says "context 100"; says "tok/s"
run bench $few --fp8 --batch 3 --ops; ends
says "3 at context 100"; says "linear lm.in_proj"; says "linear lm.head"; says "sum"
[ "$(sed -n 's/^linear lm.in_proj  *\([0-9]*\) .*/\1/p' "$tmp/out" | head -n 1)" = 5 ] || complain "not five in_proj in a step"
run bench $few --json --batch 2 --ops; ends
grep -q "no oneDNN" "$tmp/err" || json '.[0].stage == "decode" and (.[1].ops | map(.op) | index("sample")) and .[2].stage == "prefill"'
run bench --synthetic none; gives 1; one_message; warns "none"

for flag in "--table 1" --headline; do
    run bench $flag --backend cpu; gives 2; one_message; warns "measure a GPU"
done
if ! "$tessera" --list-devices | grep -q "^cuda: NVIDIA"; then
    run bench --table all; gives 1; one_message; warns "backend cuda: "
fi

# The picture of the headline, from its JSON.
if command -v python3 >/dev/null; then
    one='{"backend": "cuda (a GPU, sm_90)", "weights": "FP8", "tokens_in": 65536, "tokens_out": 1024, "bytes_per_sequence": 1e9, "prefill": 1, "step": 1, '
    echo "[$one \"headline\": \"hybrid\", \"batch\": 100, \"per_second\": 600, \"points\": [{\"batch\": 1, \"per_second\": 300}, {\"batch\": 100, \"per_second\": 600}]},
           $one \"headline\": \"Transformer\", \"batch\": 15, \"per_second\": 200, \"points\": [{\"batch\": 1, \"per_second\": 150}, {\"batch\": 15, \"per_second\": 200}]}]" >"$tmp/headline.json"
    python3 tools/headline.py "$tmp/headline.json" "$tmp/headline.svg" || complain "no picture"
    grep -q ">3.0x<" "$tmp/headline.svg" && grep -q "hybrid: 600/s" "$tmp/headline.svg" || complain "the picture lacks its figures"
fi
finish
