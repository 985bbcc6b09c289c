#!/bin/bash
# tools/sample_receipt.sh OUT.png: the till receipt of assets/samples, with ImageMagick and the font Hack.
# The paper lies a little turned on a dark table, unevenly lit, with grain.
set -e
out=$1
font=$(fc-list : file family style | sed -n 's/^\(.*Hack-Regular.*\): .*/\1/p' | head -n 1)
[ -n "$font" ] || { echo "the font Hack was not found (package fonts-hack)" >&2; exit 1; }
text=$(cat <<'TEXT'
     NORTHGATE GROCERY
   27 Quay Street, Whitby
     Tel. 01947 555 318

2026-05-09  17:26      Till 3
-----------------------------
2 x Oat milk             4.60
1 x Brown bread          3.25
4 x Apples               2.80
1 x Cheddar 400 g        6.45
1 x Dish soap            1.95
-----------------------------
Subtotal                19.05
VAT 8%                   1.52
TOTAL                   20.57
VISA **** 4031

   Thank you, come again
TEXT
)
convert -size 520x720 xc:'#fbfbf8' -font "$font" -pointsize 23 -fill '#202020' -interline-spacing 6 -annotate +45+70 "$text" \
  -background '#4a443f' -rotate 1.5 -gravity center -extent 640x820 \
  \( -size 640x820 gradient:'#ffffff'-'#d8d8d8' \) -compose multiply -composite \
  -seed 7 -attenuate 0.03 +noise Gaussian -colorspace gray -strip "PNG24:$out"
