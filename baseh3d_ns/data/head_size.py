"""The size of a head as a check of a mesh's unit."""

from __future__ import annotations

import math

TYPICAL_MM = 280.0
"""Largest extent of a head with its neck."""
HEAD_MM = (120.0, 900.0)
"""Largest extents of anything from a bare face to a bust with shoulders."""
MM_PER_UNIT = {"centimetres": 10.0, "inches": 25.4, "feet": 304.8, "metres": 1000.0}
FACTORS = {
    **{f"it would be the size of a head in {unit}": factor for unit, factor in MM_PER_UNIT.items()},
    **{
        f"it is a head's size times {factor:g}, as if it had been in {unit}": 1.0 / factor
        for unit, factor in MM_PER_UNIT.items()
    },
}


def unit_mistake(extent_mm: float) -> str | None:
    """The likeliest mistake behind a largest extent that is no head's in millimetres, in words with the remedy.

    None where no unit makes it a head.
    """
    likely = {words: factor for words, factor in FACTORS.items() if HEAD_MM[0] <= extent_mm * factor <= HEAD_MM[1]}
    if not likely:
        return None
    words = min(likely, key=lambda name: abs(math.log(extent_mm * likely[name] / TYPICAL_MM)))
    return f"{words}: multiply its coordinates by {likely[words]:.6g}"
