# tests/cli/quantize.sh: an FP8 checkpoint from a wider one, and every way in which none is written.
. "$(dirname "$0")/harness.sh" "$1"
calib=$tmp/calib
mkdir "$calib"
printf 'One line of text.\n\nAnother, with numbers: 12, 7.5 and 1e3.\n' >"$calib/a.txt"
cp "$picture" "$calib/b.png"
nothing_left() { [ ! -e "$tmp/new" ] && [ ! -e "$tmp/new.part" ] || complain "something is left behind"; }

run quantize -m $random -o "$tmp/fp8"; gives 0; is_silent out; warns "12 linears in FP8 after $((128 + $(ls assets/samples | wc -l))) sequences"
run info --json -m "$tmp/fp8"; gives 0; json '.weights | test("fp8")'
for file in tokenizer.json tokenizer_config.json generation_config.json CARD.md; do
    cmp -s $random/$file "$tmp/fp8/$file" || complain "$file is another"
done
jq -e '.quantization_config.quant_algo == "FP8" and (.quantization_config.ignore | index("lm_head") != null or
       any(endswith("lm_head")))' "$tmp/fp8/config.json" >/dev/null || complain "config.json does not say so"
jq -e '.quantization.quant_algo == "FP8" and .quantization.kv_cache_quant_algo == null' \
    "$tmp/fp8/hf_quant_config.json" >/dev/null || complain "hf_quant_config.json does not say so"
for activations in on off; do
    run caption -m "$tmp/fp8" --fp8-activations $activations -n 8 "$picture"; gives 0
done
run caption -m $random --dtype fp8 --fp8-activations on -n 8 "$picture"; gives 0
run caption -m $random --dtype fp8 --fp8-parts attention,vision,projector -n 8 "$picture"; gives 0
run caption -m $random --dtype fp8 --fp8-parts everything -n 8 "$picture"; gives 1; one_message; warns "attention, lm_head, vision"
run caption -m $random --fp8-parts vision -n 8 "$picture"; gives 1; one_message; warns "--dtype fp8"

# Everything in FP8, many files; the same in a folder that is there and empty.
mkdir "$tmp/all"
run quantize -m $words -o "$tmp/all" --calib "$calib" --lm-head --vision --projector --max-shard 0.0001; gives 0
warns "3 calibration sequences; 128 or more are better"
[ -e "$tmp/all/model.safetensors.index.json" ] || complain "no index"
run caption -m "$tmp/all" -n 8 "$picture"; gives 0
run quantize -m $words -o "$tmp/few" --calib "$calib/a.txt" --attention off --kv fp8; gives 0
jq -e '.quantization.kv_cache_quant_algo == "FP8"' "$tmp/few/hf_quant_config.json" >/dev/null &&
    jq -e '.quantization_config.kv_cache_scheme.num_bits == 8' "$tmp/few/config.json" >/dev/null || complain "KV is not said to be in FP8"
run caption -m "$tmp/few" --kv fp8 -n 8 "$picture"; gives 0
run caption -m $words --kv fp8 -n 8 "$picture"; gives 1; one_message; warns "quantize --kv fp8"
jq -e '.quantization_config.ignore | any(endswith("q_proj"))' "$tmp/few/config.json" >/dev/null ||
    complain "attention is not left alone"

run quantize -m $random -o "$tmp/fp8"; gives 1; one_message; warns "not empty"
run quantize -m "$tmp/fp8" -o "$tmp/new"; gives 1; one_message; warns "quantised already"; nothing_left
mkdir "$tmp/empty"
run quantize -m $random -o "$tmp/new" --calib "$tmp/empty"; gives 1; one_message; warns "no calibration data"; nothing_left
run quantize -m $random -o "$tmp/new" --calib "$tmp/none"; gives 1; one_message; warns "$tmp/none"; nothing_left
run quantize -m $random -o "$tmp/none/new"; gives 1; one_message; warns "No such file"
run quantize -m $random; gives 2; one_message; warns "-o DIR"
run quantize -m $random -o "$tmp/new" --attention maybe; gives 2; one_message; warns "on or off"
run quantize -m $random -o "$tmp/new" --kv int8; gives 2; one_message; warns "fp8 or bf16"
run quantize -m $random -o "$tmp/new" photo.png; gives 2; one_message; warns "--calib"

# A disk that is full, at two places.
for blocks in 20 300; do # of 1 KiB
    code=0; (ulimit -f $blocks; "$tessera" quantize -m $random -o "$tmp/new" --calib "$calib") >"$tmp/out" 2>"$tmp/err" || code=$?
    gives 1; warns "File too large"; nothing_left
done

# Ctrl-C, while it calibrates.
for i in $(seq 3000); do echo "Line $i of a long text for calibration, which is not going to be read to its end."; done >"$tmp/long.txt"
code=0
setsid bash -c 'trap - INT; exec "$@"' - "$tessera" quantize -m assets/default-model -o "$tmp/new" --calib "$tmp/long.txt" \
    >"$tmp/out" 2>"$tmp/err" &
for i in $(seq 300); do [ -d "$tmp/new.part" ] && break; sleep 0.1; done
[ -d "$tmp/new.part" ] || complain "nothing is being written"
kill -INT $!
wait $! || code=$?
gives 130; nothing_left
finish
