"""Packages that only some commands need, and the sentence for where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from baseh3d_ns.errors import InputError

EXTRAS = {
    "synth": ("anny",),
    "bench": ("jinja2", "markupsafe", "pandas", "plotly", "pydantic", "rich"),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "capture": ("pycolmap",),
}
"""Modules of every optional dependency group of pyproject.toml that a command of the package needs."""


def require_extra(extra: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Raises:
        InputError: one is missing; the sentence says what to install.
    """
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise InputError(f'this needs {", ".join(missing)}: pip install "baseh3d_ns[{extra}]"')
