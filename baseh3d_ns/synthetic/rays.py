"""Ray casting against triangle meshes with embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from trimesh.ray.ray_pyembree import RayMeshIntersector

from baseh3d_ns.synthetic.surface import Surface


@dataclass(frozen=True)
class Hits:
    """First intersections of rays with a surface: one row for each ray that hit."""

    ray: Int[np.ndarray, " h"]
    """Index of the ray."""
    corners: Int[np.ndarray, "h 3"]
    """Vertex indices of the triangle that was hit."""
    weights: Float[np.ndarray, "h 3"]
    """Barycentric weights of the three corners."""

    def interpolate(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "h c"]:
        """Barycentric interpolation of vertex values at the intersections."""
        mixed = values[self.corners[:, 0]] * self.weights[:, :1]
        mixed += values[self.corners[:, 1]] * self.weights[:, 1:2]
        mixed += values[self.corners[:, 2]] * self.weights[:, 2:]
        return mixed


class RayCaster:
    """Embree scene of one surface."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._scene = RayMeshIntersector(surface.as_trimesh())

    def first_hits(self, origins: Float[np.ndarray, "r 3"], directions: Float[np.ndarray, "r 3"]) -> Hits:
        """First triangle along each ray, front or back face."""
        triangle = self._scene.intersects_first(origins, directions)
        ray = np.flatnonzero(triangle >= 0)
        corners = self._surface.faces[triangle[ray]]
        weights = _barycentric(self._surface.vertices_mm[corners], origins[ray], directions[ray])
        return Hits(ray, corners, weights)

    def occluded(
        self, origins: Float[np.ndarray, "r 3"], directions: Float[np.ndarray, "r 3"]
    ) -> Bool[np.ndarray, " r"]:
        """Mask of the rays that hit anything."""
        return self._scene.intersects_first(origins, directions) >= 0


def _barycentric(
    triangles: Float[np.ndarray, "h 3 3"], origins: Float[np.ndarray, "h 3"], directions: Float[np.ndarray, "h 3"]
) -> Float[np.ndarray, "h 3"]:
    """Barycentric weights where each ray meets the plane of its triangle (Moeller and Trumbore 1997)."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    across = np.cross(directions, second)
    scale = np.einsum("hi,hi->h", first, across)
    # A ray in the plane of its triangle has no such weights; any corner will do.
    scale = np.where(np.abs(scale) < 1e-12, 1e-12, scale)
    offset = origins - triangles[:, 0]
    u = np.einsum("hi,hi->h", offset, across) / scale
    v = np.einsum("hi,hi->h", directions, np.cross(offset, first)) / scale
    weights = np.clip(np.column_stack([1.0 - u - v, u, v]), 0.0, 1.0)
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
