# tests/cli/readme.sh PROGRAM BUILD: every command of the README's shell blocks, in order, in a folder that looks like a
# clone: tessera.sh there is the program under test. Its C program is that of include/tessera.h.
. "$(dirname "$0")/harness.sh" "$1"
build=$(realpath "$2")

mkdir -p "$tmp/clone/build" "$tmp/clone/home"
ln -s "$PWD"/{assets,include,CMakeLists.txt,CMakePresets.json} "$tmp/clone/"
ln -s "$tessera" "$tmp/clone/tessera.sh"
ln -s "$build" "$tmp/clone/build/release"
block() { awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } $0 == "```" { on = 0 } on' README.md; }

block c >"$tmp/clone/caption.c"
in_header=$(awk '/^ \*     #include/ { on = 1 } on && /^ \* [^ ]/ { exit } on { sub(/^ \*/, ""); sub(/^     /, ""); print }' \
    include/tessera.h)
[ "$in_header" = "$(cat "$tmp/clone/caption.c")" ] || complain "the C program is not that of tessera.h"

# Cloning, building and testing are what runs this script.
block sh | grep -vE '^(git clone|cd tessera$|\./test\.sh$|cmake --preset)' >"$tmp/commands"
[ "$(wc -l <"$tmp/commands")" -ge 10 ] || complain "only $(wc -l <"$tmp/commands") commands were found"
(
    cd "$tmp/clone" || exit 1
    export HOME=$tmp/clone/home
    while read -r command; do
        echo "$command" >>"$tmp/ran"
        eval "$command" >"$tmp/out" 2>"$tmp/err" </dev/null || exit 1
        [ -s "$tmp/out" ] || [ -s "$tmp/err" ] || case "$command" in export* | cc*) ;; *) exit 1 ;; esac
    done <"$tmp/commands"
) || complain "failed: $(tail -n 1 "$tmp/ran")"

# The caption and the answers under the picture are those it gives.
tools/readme.sh "$tessera" --check >"$tmp/out" 2>"$tmp/err" || complain "the README has other answers"

finish
