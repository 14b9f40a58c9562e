"""Packages that only some commands need, and the sentence for where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from packaging.requirements import Requirement

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
    """Check that the packages of an extra are installed in versions that do, without importing them.

    Raises:
        InputError: one is missing, or its version is another; the sentence says what to install.
    """
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    wrong = [] if missing else list(_wrong_versions(extra))
    if missing or wrong:
        raise InputError(f'this needs {", ".join(missing or wrong)}: pip install "baseh3d_ns[{extra}]"')


def _wrong_versions(extra: str) -> Iterator[str]:
    """Packages of an extra whose version is not as pyproject.toml asks, with the one that is installed."""
    with suppress(PackageNotFoundError):  # imported from a folder, without an installation that says what it needs
        for needed in map(Requirement, requires("baseh3d_ns") or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                continue
            if needed.marker.evaluate({"extra": extra}):
                with suppress(PackageNotFoundError):  # its module is there, by another name than pip's
                    if not needed.specifier.contains(version(needed.name), prereleases=True):
                        yield f"{needed.name} {needed.specifier} (here is {version(needed.name)})"
