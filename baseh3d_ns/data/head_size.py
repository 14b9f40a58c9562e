"""The size of a head as a check of a mesh's unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeVar

Name = TypeVar("Name", bound=str)

TYPICAL_MM = 280.0
"""Largest extent of a head with its neck."""
HEAD_MM = (120.0, 900.0)
"""Largest extents of anything from a bare face to a bust with shoulders."""
Unit = Literal["mm", "cm", "m", "in"]
UNITS_MM: dict[Unit, float] = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
"""Millimetres in the units that a user can name."""
MISTAKEN_MM = {"centimetres": 10.0, "inches": 25.4, "feet": 304.8, "metres": 1000.0}
"""Millimetres in the units that a mesh is taken to be in by mistake."""
MISTAKES = {
    **{f"it has a head's size in {unit}": mm for unit, mm in MISTAKEN_MM.items()},
    **{f"it has a head's size times {mm:g}, as if it had been in {unit}": 1.0 / mm for unit, mm in MISTAKEN_MM.items()},
}
"""Mistakes of unit in words, and the factors that undo them."""


def unit_mistake(extent_mm: float) -> str | None:
    """The likeliest mistake behind a largest extent that is no head's in millimetres, in words with the remedy.

    None where no unit makes it a head.
    """
    words = _likeliest(extent_mm, MISTAKES)
    return words and f"{words}: multiply its coordinates by {MISTAKES[words]:.6g}"


def likely_unit(extent: float) -> Unit | None:
    """The unit in which a largest extent is a head's, millimetres first; None where it is none in any."""
    return "mm" if HEAD_MM[0] <= extent <= HEAD_MM[1] else _likeliest(extent, UNITS_MM)


def _likeliest(extent: float, factors: Mapping[Name, float]) -> Name | None:
    """Name of the factor that brings an extent nearest to a head's, of those that make it one."""
    likely = {name: factor for name, factor in factors.items() if HEAD_MM[0] <= extent * factor <= HEAD_MM[1]}
    return min(likely, key=lambda name: abs(math.log(extent * likely[name] / TYPICAL_MM)), default=None)
