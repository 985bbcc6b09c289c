# tests/cli/text.sh: text to ids and back.
. "$(dirname "$0")/harness.sh" "$1"

text='Describe this image: "naïve" café 東京 🙂 12345  two spaces'
for model in assets/default-model $random $words; do
    run tokenize -m $model -p "$text"; gives 0; has_lines 1
    json 'type == "array" and all(type == "number") and length > 10'
    cp "$tmp/out" "$tmp/ids"
    run tokenize -m $model <<<"$text" # a here string ends in a newline
    gives 0; json "length == $(jq length "$tmp/ids") + 1"
    echo -n "$text" >"$tmp/text"
    run tokenize -m $model -f "$tmp/text"; gives 0
    cmp -s "$tmp/out" "$tmp/ids" || complain "-f gives other ids"
    run tokenize -m $model --decode -f "$tmp/ids"; gives 0
    [ "$(cat "$tmp/out")" = "$text" ] || complain "the text came back as: $(cat "$tmp/out")"
done

run tokenize -p "</s>"; gives 0; json 'length > 1 and (index(2) | not)'
run tokenize --special -p "</s>"; gives 0; json 'index(2)'
run tokenize --decode --special -p "[2]"; gives 0; says "</s>"
run tokenize -p ""; gives 0; json '. == []'
for bad in '[1.5]' '[1' '{}' '["a"]' '' '[1] x' '[999999]' '[-1]'; do
    run tokenize --decode -p "$bad"; gives 1; one_message
done
run tokenize -f "$tmp/none"; gives 1; one_message; warns "No such file"
run tokenize picture.png; gives 2; one_message
finish
