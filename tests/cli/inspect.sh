# tests/cli/inspect.sh: what the model will see of a picture; trace writes it.
. "$(dirname "$0")/harness.sh" "$1"

run inspect "$picture"; gives 0; says "$picture"; says "png, 120 x 79"; says "tiles"; says "tokens"
run inspect --json "$picture" "$upright"; gives 0; has_lines 2
json '.tiles == .columns * .rows + (if .thumbnail then 1 else 0 end)'
json '(.file_hash | test("^[0-9a-f]{64}$")) and (.tile_hash | test("^[0-9a-f]{64}$"))'
[ "$(jq -r .file_hash <"$tmp/out" | head -n 1)" = "$(sha256sum <"$picture" | cut -d ' ' -f 1)" ] || complain "file hash"

# JSON is UTF-8 even where a file's name is not.
foreign=$(printf '%s/a\377\303(\355\240\200\303\244.png' "$tmp")
cp "$picture" "$foreign"
run inspect --json "$foreign"; gives 0
iconv -f UTF-8 -t UTF-8 <"$tmp/out" >"$tmp/jq" || complain "JSON that is not UTF-8"
says "ä.png"

run inspect --json --max-tiles 1 "$picture"; gives 0; json '.tiles == 1 and (.thumbnail | not)'
run inspect --json --max-tiles 4 --no-thumbnail "$picture"; gives 0; json '.thumbnail | not'
run inspect --json -m $words "$picture"; gives 0
tiles=$(jq -r '"\(.tiles) \(.tile_size)"' <"$tmp/out")
hash=$(jq -r .tile_hash <"$tmp/out")
run inspect "$picture" "$tmp/none.png"; gives 3
run inspect "$tmp/none.png"; gives 1; one_message

# The three orders of the resize: one picture tells the oldest from the others, one the newest.
tiles_by() { run inspect --json --max-tiles 1 --resize-rule "$1" "${@:2}"; gives 0; jq -r .tile_hash <"$tmp/out"; }
narrow=(-m $words tests/vectors/images/png-3x350.png)
tall=(-m tests/vectors/models/chat-v1 tests/vectors/images/exif-6.jpg)
new=$(tiles_by default "${narrow[@]}") mid=$(tiles_by 12.2 "${narrow[@]}") old=$(tiles_by old "${narrow[@]}")
[ "$new" = "$mid" ] && [ "$new" != "$old" ] || complain "over 100:1: $new $mid $old"
new=$(tiles_by default "${tall[@]}") mid=$(tiles_by 12.2 "${tall[@]}") old=$(tiles_by old "${tall[@]}")
[ "$mid" = "$old" ] && [ "$new" != "$old" ] || complain "below 100:1: $new $mid $old"
run inspect --resize-rule 9 "$picture"; gives 1; one_message; warns "default, 12.2 or old is wanted"

run inspect "$picture" -o "$tmp/tiles.png"; gives 0
cmp -s <(head -c 8 "$tmp/tiles.png") <(printf '\211PNG\r\n\032\n') || complain "-o did not write a PNG"
run inspect --json "$tmp/tiles.png"; gives 0
run inspect "$picture" -o "$tmp/none/tiles.png"; gives 1; warns "$tmp/none/tiles.png"

# The tiles that trace writes are those that inspect hashed.
run trace -m $words --image "$picture" -p "What is this?" -o "$tmp/trace"; gives 0
for name in tiles vision.embed vision.layer.00 vision.out projector.out prompt.ids lm.embed lm.layer.00 lm.norm lm.logits; do
    [ -s "$tmp/trace/$name.npy" ] || complain "trace wrote no $name.npy"
done
set -- $tiles
[ "$(tail -c $(($1 * 3 * $2 * $2)) "$tmp/trace/tiles.npy" | sha256sum | cut -d ' ' -f 1)" = "$hash" ] ||
    complain "trace's tiles are not those of inspect"
run trace -m $words --ids 1,5,9 -o "$tmp/ids"; gives 0
[ -s "$tmp/ids/lm.logits.npy" ] || complain "trace --ids wrote no logits"
run trace -m $words --ids 1,-1 -o "$tmp/ids"; gives 1; warns "tessera: "
run trace -m $words --ids 1,99999 -o "$tmp/ids"; gives 1; warns "99999"
run trace -m $words --ids 1 -o "$tmp/none/deep"; gives 1; warns "$tmp/none/deep"
finish
