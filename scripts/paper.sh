#!/usr/bin/env bash
# Fresh machine -> .venv, then every table and picture that the .md files show: a day or two on two cores, by estimate.
# What is kept in configs/results with this minor version, and what is finished in outputs/, is not made again.
# Usage: bash scripts/paper.sh [--dry-run] [--only PART ...]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/venv.sh dev
export PYTHONWARNINGS=ignore
exec python scripts/paper.py "$@"
