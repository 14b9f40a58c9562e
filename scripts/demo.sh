#!/usr/bin/env bash
# Fresh machine -> .venv, two synthetic subjects, 3-view fits of one: from nothing, from the other, from the shape space
# that comes with the plugin; mesh, mm, picture.
# Usage: bash scripts/demo.sh [FOLDER]      (default: outputs/demo; what is finished there is not done again)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/venv.sh
out="${1:-outputs/demo}"
export PYTHONWARNINGS=ignore
start=$SECONDS
baseh3d synth "$out/heads" --subjects 2 --views 16 --size 256 --seed 5 --contact-sheet
python scripts/compare.py --data "$out/heads" --out "$out" --prior-scene scan0 --targets scan1 --prior-epochs 24 --epochs 40 \
  --starts idr "one head" builtin
cp "$out/fits/baseh3d-fast/scan1-40-builtin/evaluation/head.ply" "$out/head.ply"
cp "$out/fits/baseh3d-fast/scan1-40-builtin/evaluation/evaluation.png" "$out/demo.png"
cp "$out/fits/idr/scan1-40-idr/evaluation/evaluation.png" "$out/demo_idr.png"
cat <<EOF

Done in $((SECONDS - start)) s after the install.
  the mesh, world millimetres    $out/head.ply
  photo | render | normals | error, from three sides    $out/demo.png
  the same for IDR without a prior    $out/demo_idr.png
  the numbers    $out/table.md
  look around    ns-viewer --load-config $out/fits/baseh3d-fast/scan1-40-builtin/config.yml
EOF
