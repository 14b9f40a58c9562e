"""Vertices of a mesh that a camera can see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

if TYPE_CHECKING:
    import trimesh

LEAST_COS = 0.2
"""Cosine between the normal and the direction to the camera below which a surface is too foreshortened."""
OFFSET_MM = 0.5
"""Height above the surface from which a camera is looked for: a ray must not meet its own triangle."""


def facing(mesh_mm: trimesh.Trimesh, centre_mm: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " v"]:
    """Cosine between the normals of the vertices and the directions to a camera."""
    towards = centre_mm - mesh_mm.vertices.view(np.ndarray)
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    return np.einsum("vx,vx->v", towards, mesh_mm.vertex_normals.view(np.ndarray))


def seen_from(mesh_mm: trimesh.Trimesh, centre_mm: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, " v"]:
    """Whether the vertices face a camera and nothing of the mesh is in between (embree)."""
    seen = facing(mesh_mm, centre_mm) > LEAST_COS
    origins = mesh_mm.vertices.view(np.ndarray)[seen] + OFFSET_MM * mesh_mm.vertex_normals.view(np.ndarray)[seen]
    seen[seen] = ~mesh_mm.ray.intersects_any(origins, centre_mm - origins)
    return seen
