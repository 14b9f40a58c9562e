#!/usr/bin/env bash
# Fresh machine -> .venv with the test extras -> style, types, the whole test suite.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/venv.sh dev
ruff check .
ruff format --check .
mypy
gpu=$(python -c 'import torch; print(torch.cuda.is_available())')
# One process a core, one thread each: tests are too small for more.
export OMP_NUM_THREADS=1
python -m pytest -n 2 --dist loadfile --durations=25 -m "$([ "$gpu" = True ] || echo "not cuda")" "$@"
