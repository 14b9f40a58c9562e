"""Visibility of every vertex from all directions: the base of both the lighting and the ground truth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.synthetic.rays import RayCaster
from baseh3d_ns.synthetic.surface import Surface

DIRECTIONS = 128
"""Directions in which visibility is sampled for photographed heads."""
GRAZING = 0.05
"""Smallest cosine between normal and direction that counts as visible."""
LOWEST_VIEWPOINT = -0.6
"""Sine of the lowest elevation from which a scanner looks up at a head."""
VIEWPOINTS_NEEDED = 2
"""Viewpoints that must see a vertex for it to be scanned."""
LIFT_MM = 0.2
"""Offset of ray origins along the normal in millimetres, so that a vertex does not occlude itself."""


def sphere_directions(count: int = DIRECTIONS) -> Float[np.ndarray, "d 3"]:
    """Unit vectors spread evenly over the sphere (a Fibonacci spiral about +y)."""
    height = 1.0 - 2.0 * (np.arange(count) + 0.5) / count
    angle = np.pi * (1.0 + 5.0**0.5) * np.arange(count)
    flat = np.sqrt(1.0 - height**2)
    return np.column_stack([flat * np.cos(angle), height, flat * np.sin(angle)])


def directional_visibility(surface: Surface, directions: Float[np.ndarray, "d 3"]) -> Float[np.ndarray, "n d"]:
    """Cosine between vertex normal and direction, 0 where the surface occludes the vertex from infinity (embree)."""
    normals = surface.normals
    cosine = normals @ directions.T
    cosine = np.where(cosine > GRAZING, cosine, 0.0).astype(np.float32)
    vertex, direction = np.nonzero(cosine)
    origins = surface.vertices_mm + LIFT_MM * normals
    occluded = RayCaster(surface).occluded(origins[vertex], directions[direction])
    cosine[vertex[occluded], direction[occluded]] = 0.0
    return cosine


def visible_to_scanner(
    visible_cosine: Float[np.ndarray, "n d"], directions: Float[np.ndarray, "d 3"]
) -> Bool[np.ndarray, " n"]:
    """Mask of the vertices that at least `VIEWPOINTS_NEEDED` distant viewpoints see; none looks from far below."""
    viewpoints = directions[:, 1] > LOWEST_VIEWPOINT
    return (visible_cosine[:, viewpoints] > 0.0).sum(axis=1) >= VIEWPOINTS_NEEDED
