#!/usr/bin/env bash
# Everything worth knowing of a GPU that is at hand for ten minutes: CUDA tests, speed and memory of idr and baseh3d, three
# fits of baseh3d-fast, a shape space, meshing. Writes OUT/on_gpu.json, OUT/on_gpu.md and OUT/on_gpu.log, also when a part
# fails or time runs out. The machine needs an NVIDIA GPU and a Python with torch; no network, no install of this package.
#
#   1. Here (network, extra synth):   bash scripts/on_gpu.sh prepare
#        Wheels of Python 3.12 into .whl, heads and our entry points into .gpu; git ignores both (63 of the 64 MiB that may travel).
#   2. Here, on the CPU (optional):   bash scripts/on_gpu.sh .gpu/cpu --only fits --seconds 7200
#        The millimetres that the GPU's are compared with: three whole fits, once a version.
#   3. There, .whl and .gpu carried:  bash scripts/on_gpu.sh OUT        (with the tool `run`: carry [".whl", ".gpu"], OUT is $OUT)
#
# Options after OUT: --data ROOT (an H3DS root, by default .gpu/heads), --seconds N (540), --only PART ..., and --small, which
# goes through every part with small sizes: `bash scripts/on_gpu.sh OUT --small` shows on any CPU that nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# Modules that an image with torch, torchvision, torchmetrics, NumPy, SciPy, scikit-image, OpenCV, pandas, tensorboard,
# pytest, rich and requests lacks. Synthetic heads (anny, warp), embreex and the benchmark's page are not needed.
WHEELS=(nerfstudio==1.1.5 gsplat==1.4.0 nerfacc==0.5.2 splines==0.3.0 viser==0.2.7 appdirs beartype beautifulsoup4 dill
  docstring_parser filelock fpsample gdown h3ds==0.4.0 imageio "libigl>=2.5,<3" mediapy msgspec multiprocess pathos plyfile
  pox ppft pyquaternion pytorch-msssim rawpy rtree soupsieve tensorly toml trimesh typeguard tyro websockets xatlas)
WITH_THEIR_OWN=("pydantic>=2.7,<3") # its compiled core has to match

download() { # wheels of Python 3.12 on x86-64, the only kind such a machine can use
  local platforms=() glibc
  for glibc in 17 24 27 28 31 34 35; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  python3 -m pip download --quiet --only-binary=:all: --python-version 3.12 --implementation cp "${platforms[@]}" \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --dest .whl "$@"
}

prepare() {
  mkdir -p .whl .gpu
  rm -f .whl/*.whl # two versions of one package stop the install there
  download "${WITH_THEIR_OWN[@]}"
  download --no-deps "${WHEELS[@]}"
  # ns-train finds methods through the entry points of an installed package; this is all of one that it reads.
  python3 -c 'import setuptools; setuptools.setup()' --quiet egg_info --egg-base .gpu
  XDG_CACHE_HOME="$PWD/.gpu/cache" python3 -m baseh3d_ns.cli models
  rm .gpu/cache/baseh3d_ns/models-*/u2netp.onnx # for silhouettes, which the heads have; 5 of the 64 MiB
  [ -d .gpu/heads ] || python3 -m baseh3d_ns.cli synth .gpu/heads --subjects 3 --views 32 --size 512 --seed 11
  du -sh .whl .gpu
}

[ ! -d .gpu/cache ] || export XDG_CACHE_HOME="$PWD/.gpu/cache"
export PYTHONPATH="$PWD:$PWD/.gpu${PYTHONPATH:+:$PYTHONPATH}" PYTHONWARNINGS=ignore PYTHONUNBUFFERED=1
case "${1:-}" in
  "" | -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
  prepare) prepare; exit ;;
esac
out="$1"
shift
if ! python3 -c 'import importlib.util as util, sys; sys.exit(util.find_spec("nerfstudio") is None)'; then
  site="$(mktemp -d)"
  # Where this fails the parts say what is missing.
  python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl || true
  export PYTHONPATH="$PYTHONPATH:$site"
fi
exec python3 scripts/on_gpu.py "$out" --started-s "$SECONDS" "$@"
