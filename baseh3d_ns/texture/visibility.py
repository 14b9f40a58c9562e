"""Vertices of a head that each photo shows, and the weights with which it colours them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import from_numpy

from baseh3d_ns.mesh.visibility import LEAST_COS, facing, seen_from
from baseh3d_ns.texture.photos import TexturePhotos, sample

if TYPE_CHECKING:
    import trimesh
    from scipy.sparse import csr_matrix

MARGIN_MM = 3.0
"""Distance, along the surface, that a photo stays away from what it does not show: from silhouettes and from the shadow
edges of ears and nose, where a shape that is off by a millimetre would take the colours of something else."""


@dataclass(frozen=True)
class Blend:
    """Weights of photos in one octave."""

    ramp_mm: float
    """Distance beyond the margin over which a photo's weight rises."""
    power: float
    """Exponent of the cosine between normal and direction to the camera: of a large one, the best photo decides."""


BLENDS = (Blend(40.0, 2.0), Blend(15.0, 6.0), Blend(5.0, 16.0))
"""Blends of a photo's octaves, from coarse to fine: coarse ones blend widely, so that exposures meet without a seam;
fine ones come from the best photo, so that nothing is seen twice. Source: Burt and Adelson, "A Multiresolution Spline
with Application to Image Mosaics", 1983; on surfaces Baumberg, "Blending Images for Texturing 3D Models", 2002."""

FADE_MM = 8.0
"""Distance beyond the margin over which a photo's colours replace those of the colour network."""
FARTHEST_MM = 50.0
"""Distance from what a photo does not show from which it is far enough for any weight."""


def seen_by(mesh_mm: trimesh.Trimesh, photos: TexturePhotos, view: int) -> Bool[np.ndarray, " v"]:
    """Whether a photo shows the vertices: its camera sees them, and its silhouette agrees."""
    seen = seen_from(mesh_mm, photos.centre_mm(view))
    inside = from_numpy(photos.inside(view))[None]
    seen[seen] = sample(inside, photos.project(mesh_mm.vertices.view(np.ndarray)[seen], view))[:, 0].numpy() > 0.5
    return seen


def seen_by_how_many(mesh_mm: trimesh.Trimesh, photos: TexturePhotos) -> UInt8[np.ndarray, " v"]:
    """Number of photos that show each vertex, up to 255."""
    count = np.zeros(len(mesh_mm.vertices), int)
    for view in range(len(photos)):
        count += seen_by(mesh_mm, photos, view)
    return count.clip(max=255).astype(np.uint8)


@dataclass(frozen=True)
class Weights:
    """Weights of photos at the vertices."""

    blend: Float[np.ndarray, "views v octaves"]
    """Weight in each octave."""
    trust: Float[np.ndarray, "views v 1"]
    """1 where a photo shows the surface well, 0 where it does not, smooth in between."""


def weights_of(mesh_mm: trimesh.Trimesh, photos: TexturePhotos) -> Weights:
    """Weights of all photos."""
    graph = _edge_lengths(mesh_mm)
    views = [_weights_of_view(mesh_mm, graph, photos, view) for view in range(len(photos))]
    return Weights(*(np.stack(parts) for parts in zip(*views, strict=True)))


def _weights_of_view(
    mesh_mm: trimesh.Trimesh, graph: csr_matrix, photos: TexturePhotos, view: int
) -> tuple[Float[np.ndarray, "v octaves"], Float[np.ndarray, "v 1"]]:
    """Blend weights and trust of a photo."""
    within_mm = _distance_within(graph, seen_by(mesh_mm, photos, view)) - MARGIN_MM
    cos = facing(mesh_mm, photos.centre_mm(view)).clip(LEAST_COS, 1.0)
    blend = [cos**blend.power * (within_mm / blend.ramp_mm).clip(0.0, 1.0) for blend in BLENDS]
    trust = (within_mm / FADE_MM).clip(0.0, 1.0)[:, None]
    return np.stack(blend, axis=1).astype(np.float32), trust.astype(np.float32)


def _distance_within(graph: csr_matrix, inside: Bool[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    """Distance along edges (mm) from the vertices of a part of a mesh to those outside of it; 0 outside."""
    from scipy.sparse.csgraph import dijkstra

    outside = np.flatnonzero(~inside)
    if not len(outside):
        return np.full(len(inside), np.inf)
    return dijkstra(graph, indices=outside, min_only=True, limit=FARTHEST_MM)


def _edge_lengths(mesh_mm: trimesh.Trimesh) -> csr_matrix:
    """Symmetric sparse matrix of the edges' lengths between vertices."""
    from scipy.sparse import coo_matrix

    ends = mesh_mm.edges_unique
    lengths = np.maximum(mesh_mm.edges_unique_length, 1e-9)
    count = len(mesh_mm.vertices)
    graph = coo_matrix((lengths, (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    return graph + graph.T
