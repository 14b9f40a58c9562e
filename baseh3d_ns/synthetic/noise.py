"""Smooth random fields in space: the detail of skin, hair and cloth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

PERIOD = 64
"""Period of the fields in lattice cells."""


@lru_cache(maxsize=1)
def _lattice() -> Float[np.ndarray, "p p p"]:
    """Random values at the lattice points, from a fixed seed."""
    return np.random.default_rng(20210).standard_normal((PERIOD,) * 3, dtype=np.float32)


def noise(points: Float[np.ndarray, "n 3"], salt: float = 0.0) -> Float[np.ndarray, " n"]:
    """Value noise: random lattice values, trilinearly interpolated; mean 0, standard deviation about 0.6.

    Args:
        points: coordinates in lattice cells.
        salt: offset into the lattice, another field for every value.
    """
    shifted = np.asarray(points, np.float32).T + np.array([[13.7], [41.3], [7.9]], np.float32) * np.float32(salt)
    return map_coordinates(_lattice(), shifted, order=1, mode="grid-wrap", prefilter=False)


def fractal(points: Float[np.ndarray, "n 3"], octaves: int, salt: float = 0.0) -> Float[np.ndarray, " n"]:
    """Sum of `octaves` fields of `noise`, each of half the size and half the amplitude of the one before."""
    return sum(noise(points * 2.0**i, salt + 3.1 * i) / 2.0**i for i in range(octaves))  # type: ignore[return-value]


def smoothstep(low: float, high: float, x: Float[np.ndarray, " *shape"]) -> Float[np.ndarray, " *shape"]:
    """Cubic ramp from 0 below `low` to 1 above `high` (reversed where low > high)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
