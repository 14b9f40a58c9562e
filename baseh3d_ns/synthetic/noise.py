"""Smooth random fields in space: the detail of skin, hair and cloth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

PERIOD = 64
"""The fields repeat after this many cells."""


@lru_cache(maxsize=1)
def _lattice() -> Float[np.ndarray, "p p p"]:
    return np.random.default_rng(20210).standard_normal((PERIOD,) * 3, dtype=np.float32)


def noise(points: Float[np.ndarray, "n 3"], salt: float = 0.0) -> Float[np.ndarray, " n"]:
    """A field of mean 0 and deviation about 0.6 that changes over one unit of `points`, another for every `salt`."""
    shifted = np.asarray(points, np.float32).T + np.array([[13.7], [41.3], [7.9]], np.float32) * np.float32(salt)
    return map_coordinates(_lattice(), shifted, order=1, mode="grid-wrap", prefilter=False)


def fractal(points: Float[np.ndarray, "n 3"], octaves: int, salt: float = 0.0) -> Float[np.ndarray, " n"]:
    """`noise` with `octaves` - 1 finer fields on top, each of half the size and half the height."""
    return sum(noise(points * 2.0**i, salt + 3.1 * i) / 2.0**i for i in range(octaves))  # type: ignore[return-value]


def smoothstep(low: float, high: float, x: Float[np.ndarray, " *shape"]) -> Float[np.ndarray, " *shape"]:
    """0 below `low`, 1 above `high` (or the reverse where low > high), with no kink between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
