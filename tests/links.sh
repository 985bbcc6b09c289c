#!/usr/bin/env bash
# Links between the pages of this repository lead somewhere.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bad=0
for file in $(git ls-files --cached --others --exclude-standard '*.md'); do
    while read -r link; do
        [ -e "$(dirname "$file")/$link" ] || { echo "$file: $link leads nowhere"; bad=1; }
    done < <(grep -oE '\]\([^)#:]+\)' "$file" | sed 's/^](//; s/)$//')
done
exit $bad
