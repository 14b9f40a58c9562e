#!/usr/bin/env bash
# Makes the shape space that comes with the plugin from nothing: 1000 synthetic heads and their mirror images, about an
# hour on two cores.
# Usage: bash scripts/builtin_prior.sh [FOLDER [OPTIONS OF ns-train]]
# (default: outputs/builtin; heads already sampled there are not made again; to train anew, remove FOLDER/space)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/venv.sh synth
out="${1:-outputs/builtin}"
start=$SECONDS
run="$out/space/h3dnet-fast-prior/builtin"
ns-train h3dnet-fast-prior --vis tensorboard --output-dir "$out" --experiment-name space --timestamp builtin \
  --steps-per-eval-image 100000 --pipeline.datamanager.cache-dir "$out/heads" "${@:2}"
baseh3d prior "$run"
echo "Done in $((SECONDS - start)) s. To fit from it: --load-prior $run"
