# Sourced by the scripts beside it: makes .venv once (pip decides everything from pyproject.toml) and activates it.
# Usage: source scripts/venv.sh [extra]
extra="${1:-}"
installed() { # is this plugin (and, for dev, its test tools) installed in that Python?
  (cd / && "$1" -c "import baseh3d_ns.methods; ${extra:+import pytest, ruff, mypy, selenium, ray, submitit}" >/dev/null 2>&1)
}
if [ -z "${VIRTUAL_ENV:-}" ] || ! installed python; then
  if ! installed "$PWD/.venv/bin/python"; then
    for candidate in "${PYTHON:-}" python3.11 python3.10 python3; do
      "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' 2>/dev/null && break || candidate=
    done
    [ -n "$candidate" ] || { echo "Error: needs Python 3.10 or 3.11: install one, or name it: PYTHON=/path/to/python3.11" >&2; exit 1; }
    echo "Installing into .venv (about 8 GB, 3 to 5 minutes) ..."
    "$candidate" -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade pip
    .venv/bin/python -m pip install --quiet --editable ".${extra:+[$extra]}"
  fi
  source .venv/bin/activate
fi
# Debian packages that nerfstudio's own tools want: libusb for open3d (ns-export), ffmpeg for ns-render. Ours need neither.
if { ! ldconfig -p | grep -q libusb-1.0 || ! command -v ffmpeg; } >/dev/null 2>&1; then
  packages="libusb-1.0-0 libgl1 libgomp1 ffmpeg"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing $packages ..."
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >/dev/null 2>&1 || true
  fi
  ldconfig -p 2>/dev/null | grep -q libusb-1.0 && command -v ffmpeg >/dev/null \
    || echo "Note: ns-export and ns-render need Debian's $packages: sudo apt-get install $packages" >&2
fi
# A browser, for the test that opens the benchmark's page; without it that test is skipped.
if [ "$extra" = dev ] && ! command -v chromedriver >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium chromium-driver ..."
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 || true
  fi
  command -v chromedriver >/dev/null || echo "Note: the tests of the page need Debian's chromium chromium-driver" >&2
fi
