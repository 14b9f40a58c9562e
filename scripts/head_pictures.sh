#!/usr/bin/env bash
# A synthetic head of 512 px, a fit of three of its photos, and the pictures of it that the README shows; needs chromium.
# Then another one as a phone would see it, and what `baseh3d capture` makes of three of its photos.
#   scripts/head_pictures.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?a folder to write to}
version=$(python -c "import baseh3d_ns; print(baseh3d_ns.__version__)")
heads="$out/heads-$version" run="$out/fit/baseh3d-fast/$version"
[ -e "$heads" ] || baseh3d synth "$heads" --subjects 1 --views 24 --size 512
[ -e "$run/head.safetensors" ] || ns-train baseh3d-fast --data "$heads" --output-dir "$out" --experiment-name fit \
  --timestamp "$version" --vis tensorboard h3ds-data --scene scan0 --views 3
python scripts/head_pictures.py "$run" --out "$out"

own="$out/own-$version" three="$out/three-$version"
[ -e "$own" ] || baseh3d synth "$own" --subjects 1 --views 12 --size 640 --photos --seed 3
mkdir -p "$three"
cp "$own"/*/IMG_000[345].jpg "$three"
baseh3d capture "$three" --overwrite
python -c "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB').save(sys.argv[2])" \
  "$three/head/capture.png" "$out/capture_sheet.jpg"
