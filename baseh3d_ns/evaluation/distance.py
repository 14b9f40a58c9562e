"""Exact distance from points to the surface of a triangle mesh, in the unit of the mesh (millimetres throughout)."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
import trimesh
from jaxtyping import Float, Int


@dataclass(frozen=True)
class ClosestPoints:
    """Closest point of a surface for each of n query points."""

    points: Float[np.ndarray, "n 3"]
    """The closest points."""
    faces: Int[np.ndarray, " n"]
    """Index of the triangle that each lies on."""
    distances: Float[np.ndarray, " n"]
    """Unsigned distances."""


class Surface:
    """A mesh of at least one triangle, prepared for distance queries: libigl's tree of axis-aligned bounding boxes."""

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        if not len(mesh.faces):
            raise ValueError("a mesh without triangles has no surface")
        self.normals: Float[np.ndarray, "f 3"] = trimesh.util.unitize(trimesh.triangles.cross(mesh.triangles))
        """Unit normals of the triangles (0 where a triangle has no area)."""
        self._vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
        self._faces = np.ascontiguousarray(mesh.faces, dtype=np.int64)
        self._tree = igl.AABB()
        self._tree.init(self._vertices, self._faces)

    def closest(self, points: Float[np.ndarray, "n 3"]) -> ClosestPoints:
        """Closest points of the surface, exact."""
        query = np.ascontiguousarray(points, dtype=np.float64)
        squared, faces, closest = self._tree.squared_distance(self._vertices, self._faces, query)
        # libigl's integers are C's `long long`, which is a type of its own on Linux.
        return ClosestPoints(closest, faces.astype(np.int64), np.sqrt(squared))
