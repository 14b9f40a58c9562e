#!/usr/bin/env bash
# Fresh machine -> .venv, two synthetic subjects, 3-view fits of one: from nothing, from the other, from the shape space
# that comes with the plugin; mesh, mm, picture.
# Usage: bash scripts/demo.sh [FOLDER]      (default: outputs/demo; what is finished there is not done again)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/venv.sh synth,bench
out="${1:-outputs/demo}"
export PYTHONWARNINGS=ignore
start=$SECONDS
baseh3d synth "$out/heads" --subjects 2 --views 16 --size 256 --seed 5 --contact-sheet
baseh3d bench configs/demo.toml --data "$out/heads" --out "$out/bench"
newest() { ls -td "$@" | sed -n 1p; }  # cells of other versions stay
builtin=$(newest "$out"/bench/cells/baseh3d-fast-builtin-scan1-*) idr=$(newest "$out"/bench/cells/idr-scan1-*)
cp "$builtin/evaluation/head.ply" "$out/head.ply"
cp "$builtin/evaluation/evaluation.png" "$out/demo.png"
cp "$idr/evaluation/evaluation.png" "$out/demo_idr.png"
cp "$out/bench/tables.md" "$out/table.md"
cat <<DONE

Done in $((SECONDS - start)) s after the install.
  the mesh, world millimetres    $out/head.ply
  photo | render | normals | error, from three sides    $out/demo.png
  the same for IDR without a prior    $out/demo_idr.png
  the numbers    $out/table.md, $out/bench/report.html
  look around    ns-viewer --load-config $(echo "$builtin"/train/*/run/config.yml)
DONE
