"""Distance from points to the surface of a triangle mesh, in the unit of the mesh (millimetres throughout)."""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from trimesh.triangles import closest_point as closest_point_on_triangles

QUERY_CHUNK = 1 << 17


class Surface:
    """A mesh prepared for distance queries.

    Samples on a regular barycentric pattern, at most `sample_spacing_mm` apart, tell which triangles are near; the
    distance to those triangles is exact. Only where triangles are about equally far can the nearest be missed: on a
    head with 3 mm edges no point of 534 was wrong, and with 1 candidate instead of 3 the worst was by 0.04 mm.
    """

    def __init__(self, mesh: trimesh.Trimesh, sample_spacing_mm: float = 1.0, candidates: int = 3) -> None:
        self.triangles = mesh.triangles.view(np.ndarray)
        samples, self._face_of_sample = sample_triangles(self.triangles, sample_spacing_mm)
        self._tree = cKDTree(samples, balanced_tree=False)
        self._candidates = min(candidates, len(samples))

    def distances(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Unsigned distance of every point to the surface."""
        chunks = [points[start : start + QUERY_CHUNK] for start in range(0, len(points), QUERY_CHUNK)]
        return np.concatenate([np.linalg.norm(self.closest(chunk)[0] - chunk, axis=1) for chunk in chunks])

    def closest(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
        """Of every point the closest point of the surface and the triangle that it lies on."""
        _, sample = self._tree.query(points, k=self._candidates, workers=-1)
        candidates = self._face_of_sample[sample.reshape(len(points), -1)]
        closest, face = np.zeros((len(points), 3)), candidates[:, 0].copy()
        distance = np.full(len(points), np.inf)
        for rank, candidate in enumerate(candidates.T):
            # Neighbouring samples mostly lie on one triangle: ask each triangle once.
            new = np.flatnonzero((candidates[:, :rank] != candidate[:, None]).all(axis=1))
            found = closest_point_on_triangles(self.triangles[candidate[new]], points[new])
            found_distance = np.linalg.norm(found - points[new], axis=1)
            nearer = found_distance < distance[new]
            better = new[nearer]
            closest[better], face[better], distance[better] = found[nearer], candidate[better], found_distance[nearer]
        return closest, face


def sample_triangles(
    triangles: Float[np.ndarray, "f 3 3"], spacing: float
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """Points on the triangles and the triangle each lies on.

    Every triangle is cut into k x k equal parts with edges of at most `spacing`; the samples are their centres.
    """
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
    parts = np.maximum(np.ceil(longest / spacing), 1).astype(int)
    points, faces = [], []
    for count in np.unique(parts):
        chosen = np.flatnonzero(parts == count)
        weights = _part_centres(int(count))
        points.append(np.einsum("wc,fcx->fwx", weights, triangles[chosen]).reshape(-1, 3))
        faces.append(np.repeat(chosen, len(weights)))
    return np.concatenate(points), np.concatenate(faces)


def _part_centres(count: int) -> Float[np.ndarray, "w 3"]:
    """Barycentric coordinates of the centres of the count^2 equal parts of a triangle."""
    i, j = (index.reshape(-1) for index in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    upright, inverted = i + j <= count - 1, i + j <= count - 2
    u = np.concatenate([i[upright] + 1 / 3, i[inverted] + 2 / 3]) / count
    v = np.concatenate([j[upright] + 1 / 3, j[inverted] + 2 / 3]) / count
    return np.stack([1.0 - u - v, u, v], axis=1)
