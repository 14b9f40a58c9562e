"""Triangle meshes with vertex attributes: Loop subdivision, curved refinement, submeshes, joining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Surface:
    """Triangle mesh in millimetres with a row of attributes for each vertex; whoever builds it defines the columns."""

    vertices_mm: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "f 3"]
    attributes: Float[np.ndarray, "n a"]

    @property
    def normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit vertex normals, weighted by face angle."""
        return np.array(self.as_trimesh().vertex_normals)

    def as_trimesh(self) -> trimesh.Trimesh:
        """Geometry alone, vertex order kept."""
        return trimesh.Trimesh(self.vertices_mm, self.faces, process=False)

    def moved(self, vertices_mm: Float[np.ndarray, "n 3"]) -> Surface:
        """The same mesh with other vertex positions."""
        return Surface(vertices_mm, self.faces, self.attributes)

    def keep_faces(self, keep: Bool[np.ndarray, " f"]) -> Surface:
        """Submesh of the faces marked in `keep` and the vertices they use."""
        used, faces = np.unique(self.faces[keep], return_inverse=True)
        return Surface(self.vertices_mm[used], faces.reshape(-1, 3), self.attributes[used])


def join(surfaces: Sequence[Surface]) -> Surface:
    """Union of surfaces with the same attribute columns, vertices in the order given."""
    starts = np.cumsum([0] + [len(surface.vertices_mm) for surface in surfaces[:-1]])
    return Surface(
        np.concatenate([surface.vertices_mm for surface in surfaces]),
        np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]),
        np.concatenate([surface.attributes for surface in surfaces]),
    )


def loop_smooth(surface: Surface) -> Surface:
    """One Loop subdivision of positions and attributes (four faces for each)."""
    columns = np.hstack([surface.vertices_mm, surface.attributes])
    # trimesh subdivides three columns at a time; the new faces depend on the old ones alone.
    padded = np.pad(columns, ((0, 0), (0, -columns.shape[1] % 3)))
    blocks = [
        trimesh.remesh.subdivide_loop(block, surface.faces, iterations=1)
        for block in np.split(padded, padded.shape[1] // 3, 1)
    ]
    smooth = np.hstack([vertices for vertices, _ in blocks])[:, : columns.shape[1]]
    return Surface(smooth[:, :3], blocks[0][1], smooth[:, 3:])


def refine(surface: Surface, longest_mm: Callable[[Surface], Float[np.ndarray, " n"]]) -> Surface:
    """Split every edge longer than `longest_mm` allows at its ends (mean), without cracks, in at most 4 rounds.

    New vertices are midpoints of the edges of PN triangles (Vlachos et al. 2001), which follow the normals at both
    ends, so the refined surface stays round where the coarse one was.
    """
    for _ in range(4):
        sides = np.sort(surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1).astype(np.int64)
        # One number a side: numpy takes longer to sort whole rows.
        count = len(surface.vertices_mm)
        numbers, edge_of_side = np.unique(sides @ [count, 1], return_inverse=True)
        edges = np.column_stack(np.divmod(numbers, count))
        ends = surface.vertices_mm[edges]
        is_long = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) > longest_mm(surface)[edges].mean(axis=1)
        if not is_long.any():
            break
        surface = _split(surface, edges[is_long], is_long, edge_of_side.reshape(-1, 3))
    return surface


def _split(
    surface: Surface,
    long_edges: Int[np.ndarray, "m 2"],
    is_long: Bool[np.ndarray, " e"],
    edge_of_side: Int[np.ndarray, "f 3"],
) -> Surface:
    """Surface with the long edges split at their PN-triangle midpoints.

    Args:
        long_edges: end vertices of the edges to split.
        is_long: mask of these among all edges.
        edge_of_side: edge number of the three sides of each face.
    """
    start, end = surface.vertices_mm[long_edges[:, 0]], surface.vertices_mm[long_edges[:, 1]]
    normals = surface.normals[long_edges]
    along = end - start
    bend = np.einsum("mi,mi->m", along, normals[:, 0])[:, None] * normals[:, 0]
    bend -= np.einsum("mi,mi->m", along, normals[:, 1])[:, None] * normals[:, 1]
    midpoints = (start + end) / 2 - bend / 8
    vertex_of_edge = np.full(len(is_long), -1)
    vertex_of_edge[is_long] = len(surface.vertices_mm) + np.arange(len(long_edges))
    return Surface(
        np.concatenate([surface.vertices_mm, midpoints]),
        _split_faces(surface.faces, vertex_of_edge[edge_of_side]),
        np.concatenate([surface.attributes, surface.attributes[long_edges].mean(axis=1)]),
    )


def _split_faces(faces: Int[np.ndarray, "f 3"], middles: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "g 3"]:
    """Faces cut at the midpoints of their sides (-1: side not cut) into 1, 2, 3 or 4 faces each."""
    cuts = (middles >= 0).sum(axis=1)
    # Turn each face so that one cut comes first, and of two cuts the uncut side last.
    first = np.where(cuts == 2, (np.argmin(middles >= 0, axis=1) + 1) % 3, np.argmax(middles >= 0, axis=1))
    turn = (first[:, None] + np.arange(3)) % 3
    (a, b, c), (ab, bc, ca) = np.take_along_axis(faces, turn, 1).T, np.take_along_axis(middles, turn, 1).T
    patterns = {
        0: [(a, b, c)],
        1: [(a, ab, c), (ab, b, c)],
        2: [(ab, b, bc), (a, ab, bc), (a, bc, c)],
        3: [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)],
    }
    pieces = [np.stack(corners, axis=1)[cuts == count] for count, part in patterns.items() for corners in part]
    return np.concatenate(pieces)
