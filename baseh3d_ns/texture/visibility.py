"""Vertices of a head that each photo shows, and the weights with which it colours them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from torch import from_numpy

from baseh3d_ns.texture.photos import TexturePhotos, sample

if TYPE_CHECKING:
    import trimesh

LEAST_COS = 0.2
"""Cosine between the normal and the direction to the camera below which a surface is too foreshortened."""
MARGIN_MM = 3.0
"""Distance, along the surface, that a photo stays away from what it does not show: from silhouettes and from the shadow
edges of ears and nose, where a shape that is off by a millimetre would take the colours of something else."""
OFFSET_MM = 0.5
"""Height above the surface from which a camera is looked for: a ray must not meet its own triangle."""


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


def facing(mesh_mm: trimesh.Trimesh, centre_mm: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " v"]:
    """Cosine between the normals of the vertices and the directions to a camera."""
    towards = centre_mm - mesh_mm.vertices.view(np.ndarray)
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    return np.einsum("vx,vx->v", towards, mesh_mm.vertex_normals.view(np.ndarray))


def seen_by(mesh_mm: trimesh.Trimesh, photos: TexturePhotos, view: int) -> Bool[np.ndarray, " v"]:
    """Whether a photo shows the vertices: they face its camera, nothing is in between, and its silhouette agrees."""
    vertices, normals = mesh_mm.vertices.view(np.ndarray), mesh_mm.vertex_normals.view(np.ndarray)
    centre_mm = photos.centre_mm(view)
    seen = facing(mesh_mm, centre_mm) > LEAST_COS
    inside = from_numpy(photos.inside(view))[None]
    seen[seen] = sample(inside, photos.project(vertices[seen], view))[:, 0].numpy() > 0.5
    origins = vertices[seen] + OFFSET_MM * normals[seen]
    seen[seen] = ~mesh_mm.ray.intersects_any(origins, centre_mm - origins)
    return seen


def blend_weights(mesh_mm: trimesh.Trimesh, photos: TexturePhotos) -> Float[np.ndarray, "views v octaves"]:
    """Weight of every photo at every vertex, for each octave."""
    graph = _edge_lengths(mesh_mm)
    return np.stack([_weights_of(mesh_mm, graph, photos, view) for view in range(len(photos))])


def _weights_of(mesh_mm, graph, photos: TexturePhotos, view: int) -> Float[np.ndarray, "v octaves"]:
    from scipy.sparse.csgraph import dijkstra

    seen = seen_by(mesh_mm, photos, view)
    if not seen.any():
        return np.zeros((len(seen), len(BLENDS)), np.float32)
    farthest_mm = MARGIN_MM + max(blend.ramp_mm for blend in BLENDS)
    unseen = np.flatnonzero(~seen)
    inner_mm = (
        dijkstra(graph, indices=unseen, min_only=True, limit=farthest_mm) if len(unseen) else np.full(len(seen), np.inf)
    )
    cos = np.clip(facing(mesh_mm, photos.centre_mm(view)), 0.0, 1.0)
    columns = [cos**blend.power * np.clip((inner_mm - MARGIN_MM) / blend.ramp_mm, 0.0, 1.0) for blend in BLENDS]
    return np.stack(columns, axis=1).astype(np.float32)


def _edge_lengths(mesh_mm: trimesh.Trimesh):
    """Symmetric sparse matrix of the edges' lengths between vertices."""
    from scipy.sparse import coo_matrix

    ends = mesh_mm.edges_unique
    lengths = np.maximum(mesh_mm.edges_unique_length, 1e-9)
    count = len(mesh_mm.vertices)
    graph = coo_matrix((lengths, (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    return graph + graph.T
