"""Values of vertices averaged along the surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import trimesh


def smoothed(
    mesh_mm: trimesh.Trimesh, values: Float[np.ndarray, "v c"], distance_mm: float
) -> Float[np.ndarray, "v c"]:
    """Values after diffusion over about that distance: the mean of the neighbours, again and again."""
    from trimesh.smoothing import laplacian_calculation

    average = laplacian_calculation(mesh_mm)
    spacing_mm = float(mesh_mm.edges_unique_length.mean())
    for _ in range(int(np.ceil((distance_mm / spacing_mm) ** 2))):
        values = average @ values
    return values
