"""The size of a head as a check of a mesh's unit."""

from __future__ import annotations

import math

TYPICAL_MM = 280.0
"""Largest extent of a head with its neck."""
HEAD_MM = (120.0, 900.0)
"""Largest extents of anything from a bare face to a bust with shoulders."""
UNITS_MM = {"centimetres": 10.0, "inches": 25.4, "feet": 304.8, "metres": 1000.0}
MISTAKES = {
    **{f"it has a head's size in {unit}": mm for unit, mm in UNITS_MM.items()},
    **{f"it has a head's size times {mm:g}, as if it had been in {unit}": 1.0 / mm for unit, mm in UNITS_MM.items()},
}
"""Mistakes of unit in words, and the factors that undo them."""


def unit_mistake(extent_mm: float) -> str | None:
    """The likeliest mistake behind a largest extent that is no head's in millimetres, in words with the remedy.

    None where no unit makes it a head.
    """
    likely = {words: factor for words, factor in MISTAKES.items() if HEAD_MM[0] <= extent_mm * factor <= HEAD_MM[1]}
    if not likely:
        return None
    words = min(likely, key=lambda name: abs(math.log(extent_mm * likely[name] / TYPICAL_MM)))
    return f"{words}: multiply its coordinates by {likely[words]:.6g}"
