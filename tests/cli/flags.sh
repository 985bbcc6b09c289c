# tests/cli/flags.sh: what is mistyped, missing, out of range or contradictory is a usage error (2) with a hint.
. "$(dirname "$0")/harness.sh" "$1"

refused() { # refused TEXT ARGS...: exit 2 and a message with TEXT
    local text=$1
    shift
    run "$@"; gives 2; one_message; warns "$text"
}

refused "did you mean caption" captoin "$picture"
refused "did you mean inspect" inspct "$picture"
refused "'tessera --help' lists them" describe "$picture"
refused "did you mean --max-tiles" caption --max-tile 3 "$picture"
refused "did you mean --temp" caption --tmep 1 "$picture"
refused "did you mean --threads" info --thread 1
refused "'tessera caption --help' lists them" caption --fortissimo "$picture"
refused "--top-k" caption --top-k=x "$picture"
refused "no such flag" info --top-k 3 # a flag of another command

for flag in -n -t -c --temp -m -p; do
    refused "wants a value" caption "$picture" $flag
done
refused "takes no value" caption --quiet=yes "$picture"
refused "from -1 to" caption -n -2 "$picture"
refused "from 1 to" caption -t 0 "$picture"
refused "whole number" caption -n 3.5 "$picture"
refused "whole number" caption -n "" "$picture"
refused "'ten' was found" caption -c ten "$picture"
refused "from 0 to 1" caption --top-p 1.5 "$picture"
refused "from 0 to 100" caption --temp nan "$picture"
refused "from 0 to 100" caption --temp -1 "$picture"
refused "99999999999999999999" caption --seed 99999999999999999999 "$picture"

refused "which picture" caption
refused "which picture" inspect
refused "what is the question" ask "$picture"
refused "-p and -f" ask "$picture" -p a -f b
refused "one of -p TEXT and --ids" trace -o "$tmp/trace"
refused "one of -p TEXT and --ids" trace -o "$tmp/trace" -p a --ids 1
refused "-o DIR is wanted" trace -p a
refused "whole numbers" trace -o "$tmp/trace" --ids 1,,2
refused "-o draws one picture" inspect "$picture" "$picture" -o "$tmp/tiles.png"
refused "on, off or auto" caption --think maybe "$picture"
refused "checkpoint is wanted" caption --sampling own "$picture"
stops=()
for i in $(seq 17); do stops+=(--stop "$i"); done
refused "at most 16" caption "${stops[@]}" "$picture"

# Spellings: llama.cpp's, vLLM's, with a space and with =
for n in "-n 1" "--n-predict 1" "--max-tokens=1"; do
    run caption -m $words $n "$picture"; gives 0; warns "stopped at -n: 1 tokens"
done
run caption -m $words --ctx-size=512 -n 1 -- "$picture"; gives 0
run caption -m $words --max-model-len 512 -n 1 --image "$picture"; gives 0
finish
