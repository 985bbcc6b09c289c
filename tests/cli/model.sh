# tests/cli/model.sh: finding a model, saying what it is, and what it takes.
. "$(dirname "$0")/harness.sh" "$1"

run info; gives 0; says "Reads simple pictures"; says "19678656 in"; says "M*-M*-M*-M-"
run info --json; gives 0; json '(.placeholder | not) and .vision and .tile_size == 224'
run info -m $random; gives 0; says "random weights"; says "parameters"; says "M*-M-"
run info --json -m $random; gives 0
json '.placeholder and .vision and (.id | test("^[0-9a-f]{64}$")) and .parameters > 0 and .tile_size == 224'
quick=$(jq -r .id <"$tmp/out")
run info --json --hash -m $random; gives 0
[ "$(jq -r .id <"$tmp/out")" != "$quick" ] || complain "--hash gives the quick id"

# A copy has the same id; one changed weight has another full hash.
cp -r $random "$tmp/copy"
run info --json -m "$tmp/copy"; gives 0; json ".id == \"$quick\""
run info --json --hash -m "$tmp/copy"; before=$(jq -r .id <"$tmp/out")
printf 'x' | dd of="$tmp/copy/model.safetensors" bs=1 seek=300001 conv=notrunc status=none
run info --json --hash -m "$tmp/copy"; gives 0; json ".id != \"$before\""

# What was chosen is said once.
run info -v -m $random; gives 0
[ "$(grep -c "prompt format" "$tmp/err")" = 1 ] || complain "the prompt format is not said once"
[ -z "$(sort "$tmp/err" | uniq -d)" ] || complain "said twice: $(sort "$tmp/err" | uniq -d | head -n 1)"
run info -v -m $words; gives 0; warns "projector_hidden_act"
run info -v -m $random; gives 0 # its projector is of kind B, which has no such key
! grep -q "projector_hidden_act" "$tmp/err" || complain "a choice that nothing uses"

run plan; gives 0; says "sessions that fit"
run plan --json -m $words -c 1000 -np 3 --memory 0.5; gives 0
json '.n_ctx == 1000 and .sessions == 3 and .memory_bytes == 536870912 and .total_bytes > 0'
fit=$(jq .sessions_that_fit <"$tmp/out")
run plan --json -m $words -c 1000 --memory 1; gives 0; json ".sessions_that_fit > $fit"
run plan --json --synthetic 8b; gives 0; json '.total_bytes > 16e9' # nothing is loaded for it
run plan --synthetic 9999b; gives 1; one_message

run info -m "$tmp/none"; gives 1; one_message; warns "$tmp/none"
run info -m "$picture"; gives 1; one_message
mkdir "$tmp/hollow"
run info -m "$tmp/hollow"; gives 1; one_message; warns "config.json"
cp -r $words/. "$tmp/hollow"; rm -r "$tmp/hollow/expect"
truncate -s 1000 "$tmp/hollow/model.safetensors"
run info -m "$tmp/hollow"; gives 1; one_message; warns "model.safetensors"
run --list-devices; gives 0; says "cuda: "
if grep -q "cuda: not used: " "$tmp/out"; then
    why=$(sed -n 's/^cuda: not used: //p' "$tmp/out")
    run caption --backend cuda "$picture"; gives 1; one_message; warns "backend cuda: $why"
fi
run caption --backend gpu "$picture"; gives 1; one_message; warns "auto, ref, cpu or cuda"
run caption --chat-template none "$picture"; gives 1; one_message; warns "nvlm"

# A hub id is looked up in the local cache, and nowhere else.
commit=0123456789abcdef0123456789abcdef01234567
hub=$tmp/hub/models--some-org--a-model
mkdir -p "$hub/refs" "$hub/snapshots/$commit"
echo -n $commit >"$hub/refs/main"
cp $words/* "$hub/snapshots/$commit/" 2>/dev/null
export HF_HUB_CACHE=$tmp/hub
run info --json -m some-org/a-model; gives 0; json '.name == "some-org/a-model"'
run info -m some-org/another; gives 1; one_message; warns "some-org/another"
finish
