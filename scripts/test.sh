#!/usr/bin/env bash
# Fresh machine -> .venv with the test extras -> style, types, the whole test suite.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/venv.sh dev
ruff check .
ruff format --check .
mypy
python -m pytest -m "not slow and not cuda" "$@"
