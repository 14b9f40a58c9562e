"""What the surroundings can see of each vertex: the base of both the lighting and the ground truth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.synthetic.rays import RayCaster
from baseh3d_ns.synthetic.surface import Surface

DIRECTIONS = 128
GRAZING = 0.05
"""Directions flatter to the surface than this cosine neither light it nor see it."""
LOWEST_VIEWPOINT = -0.6
"""A scanner looks up at a head from no lower than this sine of elevation."""
VIEWPOINTS_NEEDED = 2
LIFT_MM = 0.2


def sphere_directions(count: int = DIRECTIONS) -> Float[np.ndarray, "d 3"]:
    """Unit vectors spread evenly over the sphere (a Fibonacci spiral about +y)."""
    height = 1.0 - 2.0 * (np.arange(count) + 0.5) / count
    angle = np.pi * (1.0 + 5.0**0.5) * np.arange(count)
    flat = np.sqrt(1.0 - height**2)
    return np.column_stack([flat * np.cos(angle), height, flat * np.sin(angle)])


def openness(surface: Surface, directions: Float[np.ndarray, "d 3"]) -> Float[np.ndarray, "n d"]:
    """Cosine between vertex normal and direction where nothing lies between the vertex and infinity, else 0."""
    normals = surface.normals
    cosine = np.where((facing := normals @ directions.T) > GRAZING, facing, 0.0).astype(np.float32)
    vertex, direction = np.nonzero(cosine)
    origins = surface.vertices_mm + LIFT_MM * normals
    blocked = RayCaster(surface).blocked(origins[vertex], directions[direction])
    cosine[vertex[blocked], direction[blocked]] = 0.0
    return cosine


def seen_by_a_scanner(
    open_cosine: Float[np.ndarray, "n d"], directions: Float[np.ndarray, "d 3"]
) -> Bool[np.ndarray, " n"]:
    """Vertices that at least `VIEWPOINTS_NEEDED` far viewpoints, none from far below, can see."""
    viewpoints = directions[:, 1] > LOWEST_VIEWPOINT
    return (open_cosine[:, viewpoints] > 0.0).sum(axis=1) >= VIEWPOINTS_NEEDED
