# tests/cli/caption.sh: pictures to words: one, several, from standard input, broken ones among them.
. "$(dirname "$0")/harness.sh" "$1"

quick() { run caption -m $random --max-tiles 1 "$@"; }

# The default model says something true.
run caption assets/samples/sign.png; gives 0; has_lines 1; says "sign"; says "Ferry Terminal"

# One picture: the caption alone on stdout, and that the words are random on stderr.
run caption -m $random "$picture"; gives 0; has_lines 1; warns "random weights"
quick --quiet "$picture"; gives 0; has_lines 1; is_silent err
said=$(cat "$tmp/out")
quick --quiet - <"$picture"; gives 0
[ "$(cat "$tmp/out")" = "$said" ] || complain "standard input gives another caption"
for threads in 1 3; do
    quick --quiet -t $threads "$picture"; gives 0
    [ "$(cat "$tmp/out")" = "$said" ] || complain "$threads threads give another caption"
done
quick --quiet --backend ref "$picture"; gives 0; has_lines 1

# Several: path, tab, caption; a failure does not stop the rest.
quick "$picture" "$upright"; gives 0; has_lines 2
says "$picture	"; says "$upright	"
quick "$picture" "$tmp/none.png" "$upright"; gives 3; has_lines 2
warns "$tmp/none.png"
run caption "$tmp/none.png" "$tmp/none.jpg"; gives 1; is_silent out

# What is no picture.
run caption "$tmp/none.png"; gives 1; one_message; warns "No such file"
run caption "$tmp"; gives 1; one_message; warns "$tmp"
head -c 100 "$picture" >"$tmp/short.png"
run caption "$tmp/short.png"; gives 1; one_message; warns "short.png"
: >"$tmp/empty.jpg"
run caption "$tmp/empty.jpg"; gives 1; one_message; warns "empty.jpg"
echo "not a picture" >"$tmp/text.png"
run caption "$tmp/text.png"; gives 1; one_message; warns "text.png"
run caption -; gives 1; one_message; warns "standard input"
run caption --max-pixels 100 "$picture"; gives 1; one_message; warns "pixels"
run caption --max-file-bytes 100 "$picture"; gives 1; one_message; warns "bytes"

# JSON: a document a line.
quick --json "$picture" "$tmp/none.png" "$upright"; gives 3; has_lines 2
json '.text | type == "string"'
json '(.ids | length) == (.logprobs | length)'
json '.stopped == "end" and .image_tokens > 0 and .text_tokens > 0 and .vision_seconds >= 0'
[ "$(jq -r .image <"$tmp/out" | head -n 1)" = "$picture" ] || complain "the first document is of another picture"

# Names with control characters reach no terminal as they are.
evil=$(printf '%s/a\033[31m\nb.png' "$tmp")
cp "$picture" "$evil"
quick "$evil" "$picture"; gives 0; has_lines 2; says '\x1b[31m b.png'
run caption "$evil.none"; gives 1
grep -q $'\033' "$tmp/err" && complain "an escape reached stderr"

# Length, stop strings, seeds.
run caption -m $words -n 3 --json "$picture"; gives 0; json '(.ids | length) == 3 and .stopped == "length"'
warns "stopped at -n: 3 tokens"
run caption -m $words -n -1 -c 128 --json "$picture"; gives 0; json '.stopped == "length" and (.ids | length) > 20'
run caption -m $words -n 12 --quiet "$picture"
whole=$(head -c 20 "$tmp/out" | tr -d '\0')
run caption -m $words -n 12 --quiet --stop "${whole:2:3}" "$picture"; gives 0
[ "$(cat "$tmp/out")" = "${whole:0:2}" ] || complain "--stop left $(cat "$tmp/out") of $whole"
for seed in 1 1 2; do
    run caption -m $words -n 12 --temp 1 --seed $seed --json "$picture"; gives 0
    jq -c .ids <"$tmp/out" >>"$tmp/seeds"
done
[ "$(sort -u "$tmp/seeds" | wc -l)" = 2 ] || complain "seeds 1, 1, 2 gave $(sort -u "$tmp/seeds" | wc -l) answers"
[ "$(sed -n 1p "$tmp/seeds")" = "$(sed -n 2p "$tmp/seeds")" ] || complain "seed 1 gave two answers"
finish
