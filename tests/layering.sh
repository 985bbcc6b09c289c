#!/usr/bin/env bash
# Includes point down only, third-party headers stay in their one folder, and nothing below apps/ prints or exits.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bad=0
complain() { echo "$1"; bad=1; }

# folder -> folders whose headers it may include
declare -A may=(
    [base]="base"
    [kernels]="kernels base"
    [kernels/ref]="kernels base" [kernels/cpu]="kernels base" [kernels/cuda]="kernels base"
    [preprocess]="preprocess kernels base" [vision]="vision kernels base"
    [projector]="projector kernels base" [lm]="lm kernels base"
    [runtime]="runtime preprocess vision projector lm kernels base include"
    [apps]="apps"
)
# third-party header -> the only places that may see it
third_party() {
    case "$1" in
        cjson/*) echo "base/json.c apps/" ;;
        jpeglib.h | jerror.h | png.h | stb_*) echo "preprocess/" ;;
        pcre2.h) echo "lm/" ;;
        dnnl* | oneapi/*) echo "kernels/cpu/" ;;
        cuda* | cublas* | nccl*) echo "kernels/cuda/" ;;
        tessera.h) echo "apps/ runtime/" ;;
        *) echo "" ;;
    esac
}

for file in $(git ls-files --cached --others --exclude-standard 'base/*.[ch]' 'kernels/**.[ch]' 'kernels/**.cu*' \
                  'preprocess/*.[ch]' 'vision/*.[ch]' 'projector/*.[ch]' 'lm/*.[ch]' 'runtime/*.[ch]' 'apps/*.[ch]'); do
    folder=$(dirname "$file")
    [ -n "${may[$folder]+x}" ] || { complain "$file: a folder that the layering table does not know"; continue; }
    while read -r included; do
        target=$(dirname "$included")
        ok=no
        for allowed in ${may[$folder]}; do [ "$target" = "$allowed" ] && ok=yes; done
        [ "$target" = "$folder" ] && ok=yes
        case "$folder:$target" in
            kernels:kernels/*) [ "$file" = kernels/backend.c ] && ok=yes ;;
        esac
        [ $ok = yes ] || complain "$file includes $included: $folder/ may not look there"
    done < <(sed -nE 's/^#include "([^"]+)".*/\1/p' "$file" | grep /)
    sed -nE 's/^#include "([^"\/]+)".*/\1/p' "$file" | while read -r bare; do echo "$file includes \"$bare\": includes are rooted"; done | grep . && bad=1
    while read -r header; do
        places=$(third_party "$header")
        [ -z "$places" ] && continue
        ok=no
        for place in $places; do [[ "$file" == "$place"* ]] && ok=yes; done
        [ $ok = yes ] || complain "$file includes <$header>, which belongs in: $places"
    done < <(sed -nE 's/^#include <([^>]+)>.*/\1/p' "$file")
    case "$folder" in
        apps) ;;
        *)
            hits=$(grep -nE '\b(exit|_exit|abort|printf|puts|putchar|perror|fprintf)\(' "$file" | grep -vE '^\s*[0-9]+:\s*(/?\*|//)' )
            [ -z "$hits" ] || complain "$file prints or exits:
$hits" ;;
    esac
done
exit $bad
