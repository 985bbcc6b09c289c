# tests/cli/ask.sh: questions, from the command line, a file, standard input, and in a dialogue.
. "$(dirname "$0")/harness.sh" "$1"
ask() { run ask -m $words -n 6 --json "$@"; }

ask "$picture" -p "What is this?"; gives 0; has_lines 1
json '.question == "What is this?" and (.ids | length) > 0 and .image_tokens > 0'
said=$(jq -c .ids <"$tmp/out")
echo -n "What is this?" >"$tmp/question"
ask "$picture" -f "$tmp/question"; gives 0
[ "$(jq -c .ids <"$tmp/out")" = "$said" ] || complain "-f FILE answers otherwise"
ask "$picture" -f - <"$tmp/question"; gives 0
[ "$(jq -c .ids <"$tmp/out")" = "$said" ] || complain "-f - answers otherwise"
ask "$picture" -f "$tmp/none"; gives 1; one_message; warns "No such file"

one=$(ask "$picture" -p a; jq .image_tokens <"$tmp/out")
ask "$picture" "$picture" -p a; gives 0; json ".image_tokens == 2 * $one"
ask "$picture" "$tmp/none.png" -p a; gives 1; one_message # one question needs all of its pictures
ask -p "No picture at all"; gives 0; json '.image_tokens == 0'
ask "$picture" -sys "Be brief." -p a; gives 0
with=$(jq .text_tokens <"$tmp/out")
ask "$picture" -p a
[ "$(jq .text_tokens <"$tmp/out")" -lt "$with" ] || complain "the system message takes no tokens"

# A dialogue keeps its state: the picture is looked at and read once.
printf 'What is this?\n\nAnd that?\n' >"$tmp/talk"
ask "$picture" -i <"$tmp/talk"; gives 0; has_lines 2
json '(.ids | length) > 0'
[ "$(jq .image_tokens <"$tmp/out" | sort -u | wc -l)" = 1 ] || complain "the second question read the picture again"
[ "$(jq -c .ids <"$tmp/out" | head -n 1)" = "$said" ] || complain "the first answer differs from that of -p"
ask "$picture" -p "What is this?" -i <<<"And that?"; gives 0; has_lines 2

# The line end in front of the token that ends a turn is no part of an answer: a checkpoint whose last word has one.
cp -r $random "$tmp/lines"
run ask -m $random -p "a" --json; gives 0; json '.stopped == "end" and (.text | length) > 0'
text=$(jq -r .text <"$tmp/out")
jq --argjson last "$(jq '.ids[-1]' <"$tmp/out")" '(.model.vocab | to_entries[] | select(.value == $last).key) as $word |
    del(.model.vocab[$word]) | .model.vocab[$word + "Ċ"] = $last | .model.merges |= map(select(add != $word))' \
    <$random/tokenizer.json >"$tmp/lines/tokenizer.json"
run ask -m "$tmp/lines" -p "a" --json; gives 0; json '.stopped == "end"'
[ "$(jq -r '.text | gsub("\n"; "")' <"$tmp/out")" = "$text" ] || complain "other words"
json '.text | endswith("\n") | not'
run ask -m "$tmp/lines" -p "a" --json -n "$(jq '.ids | length' <"$tmp/out")"; gives 0; json '.stopped == "length" and (.text | endswith("\n"))'

# Control tokens in a question are text.
ask "$picture" -p "<SPECIAL_11>User <image> </s>"; gives 0; json ".image_tokens == $one"

# Thinking, where the format knows none.
ask "$picture" -p a --think on; gives 1; one_message; warns "thinking"
finish
