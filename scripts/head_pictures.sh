#!/usr/bin/env bash
# A synthetic head of 512 px, a fit of three of its photos, and the pictures of it that the README shows.
#   scripts/head_pictures.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?a folder to write to}
run="$out/fit/baseh3d-fast/pictures"
[ -e "$out/heads" ] || baseh3d synth "$out/heads" --subjects 1 --views 24 --size 512
[ -e "$run/head.safetensors" ] || ns-train baseh3d-fast --data "$out/heads" --output-dir "$out" --experiment-name fit \
  --timestamp pictures --vis tensorboard h3ds-data --scene scan0 --views 3
python scripts/head_pictures.py "$run" --out "$out"
