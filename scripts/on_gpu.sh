#!/usr/bin/env bash
# Everything worth knowing of a GPU that is at hand for ten minutes: CUDA tests, speed and memory of idr and baseh3d, three
# fits of baseh3d-fast, a shape space, meshing. Writes OUT/on_gpu.json, OUT/on_gpu.md and OUT/on_gpu.log, also when a part
# fails or time runs out. The machine needs an NVIDIA GPU and a Python with torch; no network, no install of this package.
#
#   1. Here (network, extra synth):   bash scripts/on_gpu.sh prepare
#        Packages of Python 3.12, heads and our entry points into .gpu, which git ignores (about 50 of the 64 MiB that may travel).
#   2. Here, on the CPU (optional):   bash scripts/on_gpu.sh .gpu/cpu --only fits --seconds 7200
#        The millimetres that the GPU's are compared with: three whole fits, once a version.
#   3. There, .gpu carried:           bash scripts/on_gpu.sh OUT        (with the tool `run`: carry [".gpu"], OUT is $OUT)
#
# Options after OUT: --data ROOT (an H3DS root, by default .gpu/heads), --seconds N (540), --only PART ..., and --small, which
# goes through every part with small sizes: `bash scripts/on_gpu.sh OUT --small` shows on any CPU that nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# What an image with torch, torchvision, torchmetrics, NumPy, SciPy, scikit-image, OpenCV, pandas, tensorboard, jaxtyping,
# safetensors, pytest, rich and requests lacks. Synthetic heads (anny, warp), embreex and the benchmark's page are not needed.
PACKAGES=(nerfstudio==1.1.5 gsplat==1.4.0 nerfacc==0.5.2 splines==0.3.0 viser==0.2.7 annotated-types appdirs beartype
  beautifulsoup4 dill docstring_parser fast-simplification filelock fpsample gdown h3ds==0.4.0 imageio "libigl>=2.6,<3" mediapy
  msgspec multiprocess pathos pillow-heif platformdirs plyfile pox ppft pyquaternion pytorch-msssim rawpy rtree soupsieve
  tensorly toml trimesh typeguard tyro websockets xatlas)
WITH_THEIR_OWN=("pydantic>=2.7,<3") # its compiled core has to match
SITE=.gpu/site.tar.xz

fetch() { # unpack packages of Python 3.12 on x86-64, the only kind such a machine can use
  local platforms=() glibc
  for glibc in 17 24 27 28 31 34 35; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  python3 -m pip install --quiet --only-binary=:all: --python-version 3.12 --implementation cp "${platforms[@]}" \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --no-compile "$@"
}

prepare() {
  local site
  site="$(mktemp -d)"
  mkdir -p .gpu
  fetch --target "$site" "${WITH_THEIR_OWN[@]}"
  fetch --target "$site" --no-deps --upgrade "${PACKAGES[@]}"
  # As wheels they would be 50 MiB.
  tar -C "$site" -cJf "$SITE" .
  rm -r "$site"
  # ns-train finds methods through the entry points of an installed package; this is all of one that it reads.
  python3 -c 'import setuptools; setuptools.setup()' --quiet egg_info --egg-base .gpu
  XDG_CACHE_HOME="$PWD/.gpu/cache" python3 -m baseh3d_ns.cli models
  rm .gpu/cache/baseh3d_ns/models-*/u2netp.onnx # for silhouettes, which the heads have; 5 of the 64 MiB
  [ -d .gpu/heads ] || python3 -m baseh3d_ns.cli synth .gpu/heads --subjects 3 --views 32 --size 512 --seed 11
  du -sh .gpu
}

[ ! -d .gpu/cache ] || export XDG_CACHE_HOME="$PWD/.gpu/cache"
export PYTHONPATH="$PWD:$PWD/.gpu${PYTHONPATH:+:$PYTHONPATH}" PYTHONWARNINGS=ignore PYTHONUNBUFFERED=1
# OpenCV 5 by default gives one output of a TFLite network; earlier ones do not know the variable.
export OPENCV_FORCE_DNN_ENGINE=1
case "${1:-}" in
  "" | -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
  prepare) prepare; exit ;;
esac
out="$1"
shift
if ! python3 -c 'import importlib.util as util, sys; sys.exit(util.find_spec("nerfstudio") is None)'; then
  [ -f "$SITE" ] || { echo "error: nerfstudio is not installed and $SITE is not there: run 'bash scripts/on_gpu.sh prepare'" >&2; exit 2; }
  site="$(mktemp -d)"
  python3 -m tarfile -e "$SITE" "$site"
  export PYTHONPATH="$PYTHONPATH:$site"
fi
exec python3 scripts/on_gpu.py "$out" --started-s "$SECONDS" "$@"
