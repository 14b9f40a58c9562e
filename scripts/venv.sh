# Sourced by the scripts beside it: makes .venv once (pip decides everything from pyproject.toml) and activates it.
# Usage: source scripts/venv.sh EXTRAS      (EXTRAS as in pyproject.toml, with commas: synth,bench for the demo, dev for tests)
extras="${1:-}"
needs="baseh3d_ns.methods"
case ",$extras," in *,dev,*) needs+=", beartype, grimp, hypothesis, mypy, pytest, ruff, selenium" ;; esac
installed() { # are this plugin and its extras installed in that Python?
  (cd / && "$1" - "$extras" <<EOF
import sys, $needs
from baseh3d_ns.extras import EXTRAS, require_extra
for extra in EXTRAS if "dev" in sys.argv[1] else filter(None, sys.argv[1].split(",")):
    require_extra(extra)
EOF
  ) >/dev/null 2>&1
}
if [ -z "${VIRTUAL_ENV:-}" ] || ! installed python; then
  # pip is asked again when the dependencies have changed since.
  stamp=".venv/pyproject-$(sha256sum <pyproject.toml | cut -c1-16)"
  if ! { [ -f "$stamp" ] && installed "$PWD/.venv/bin/python"; }; then
    for candidate in "${PYTHON:-}" python3.11 python3.10 python3; do
      "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' 2>/dev/null && break || candidate=
    done
    [ -n "$candidate" ] || { echo "Error: needs Python 3.10 or 3.11: install one, or name it: PYTHON=/path/to/python3.11" >&2; exit 1; }
    echo "Installing into .venv (about 8 GB, 3 to 5 minutes) ..."
    "$candidate" -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade pip
    .venv/bin/python -m pip install --quiet --editable ".${extras:+[$extras]}"
    touch "$stamp"
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
if [[ ",$extras," = *,dev,* ]] && ! command -v chromedriver >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium chromium-driver ..."
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 || true
  fi
  command -v chromedriver >/dev/null || echo "Note: the tests of the page need Debian's chromium chromium-driver" >&2
fi
