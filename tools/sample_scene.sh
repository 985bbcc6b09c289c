#!/bin/bash
# tools/sample_scene.sh OUT.png: three shapes on a meadow for assets/samples, with ImageMagick.
set -e
convert -size 640x480 gradient:'#8fc1f2'-'#e8f4ff' \
  -fill '#5d9a4a' -stroke none -draw 'rectangle 0,300 640,480' \
  -fill '#d62828' -stroke '#1c1c1c' -strokewidth 3 -draw 'circle 140,200 140,130' \
  -fill '#2a52be' -draw 'rectangle 270,250 400,380' \
  -fill '#f4c20d' -draw 'polygon 530,110 551,166 611,169 564,206 580,264 530,231 480,264 496,206 449,169 509,166' \
  -strip PNG24:"$1"
