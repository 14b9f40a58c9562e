"""Texels of a texture, and their colours from the photos that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import from_numpy

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.texture.atlas import Atlas
from baseh3d_ns.texture.photos import TexturePhotos, sample
from baseh3d_ns.texture.smoothing import smoothed
from baseh3d_ns.texture.visibility import weights_of

if TYPE_CHECKING:
    import trimesh
    from trimesh.visual import ColorVisuals

ROWS = 128
"""Rows of the texture that are looked up at a time."""
SMOOTHING_MM = 10.0
"""Distance over which the vertex colours are averaged: beyond the photos they are guesses, with edges where the camera
changes that they are guessed for."""
NOTHING = 1e-20
"""Weight that changes no quotient but makes 0 of 0 / 0."""


@dataclass(frozen=True)
class Texels:
    """Texels of a texture that lie on the surface."""

    index: Int[np.ndarray, " n"]
    """Index in the texture, row by row."""
    face: Int[np.ndarray, " n"]
    """Triangle that each lies in."""
    corners: Int[np.ndarray, "n 3"]
    """Its vertices, of the uncut mesh."""
    barycentric: Float[np.ndarray, "n 3"]

    def interpolate(self, values: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "n c"]:
        """Values of the vertices at the texels."""
        parts = (self.barycentric[:, corner, None] * values[self.corners[:, corner]] for corner in range(3))
        return sum(parts, np.zeros((), np.float32))

    def where(self, chosen: Bool[np.ndarray, " n"]) -> Texels:
        """Some of the texels."""
        return Texels(self.index[chosen], self.face[chosen], self.corners[chosen], self.barycentric[chosen])

    def picture(self, values: Float[np.ndarray, "n 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
        """The whole texture from values in [0, 1]; where no chart lies, those of the nearest texel.

        Filters of viewers look beyond the borders of charts.
        """
        from scipy.ndimage import distance_transform_edt

        texture, empty = np.zeros((size**2, 3), np.uint8), np.ones(size**2, bool)
        texture[self.index], empty[self.index] = (255.0 * values.clip(0.0, 1.0)).round().astype(np.uint8), False
        row, column = distance_transform_edt(empty.reshape(size, size), return_distances=False, return_indices=True)
        return texture.reshape(size, size, 3)[row, column]


def bake(mesh_mm: trimesh.Trimesh, texels: Texels, photos: TexturePhotos) -> Float[np.ndarray, "n 3"]:
    """Colours of texels in sRGB: the photos where they show them, the vertex colours elsewhere.

    Args:
        mesh_mm: the uncut mesh, with normals and vertex colours.
        texels: those of its atlas.
        photos: photos of the head.
    """
    seen, sure = _from_photos(mesh_mm, texels, photos)
    colours = cast("ColorVisuals", mesh_mm.visual).vertex_colors[:, :3] / 255.0
    guessed = texels.interpolate(smoothed(mesh_mm, colours, SMOOTHING_MM).astype(np.float32))
    return sure * seen + (1.0 - sure) * guessed


def texels_of(atlas: Atlas) -> Texels:
    """Texels on the surface; embree says which triangle holds the centre of each.

    Charts may be too thin to hold the centre of any texel: the middle of every triangle colours the texel it lies in.
    """
    import trimesh

    flat = trimesh.Trimesh(np.pad(atlas.texels, ((0, 0), (0, 1))), atlas.faces, process=False)
    triangles = flat.triangles.view(np.ndarray)
    parts = []
    for start in range(0, atlas.size, ROWS):
        rows, columns = np.mgrid[start : min(start + ROWS, atlas.size), 0 : atlas.size].reshape(2, -1)
        centres = np.stack([columns + 0.5, rows + 0.5, np.zeros(len(rows))], axis=1)
        face = flat.ray.intersects_first(centres + [0.0, 0.0, 1.0], np.broadcast_to([0.0, 0.0, -1.0], centres.shape))
        hit = np.flatnonzero(face >= 0)
        barycentric = trimesh.triangles.points_to_barycentric(triangles[face[hit]], centres[hit])
        barycentric = np.nan_to_num(barycentric, nan=1.0 / 3.0).clip(0.0, 1.0).astype(np.float32)
        parts.append((start * atlas.size + hit, face[hit], atlas.source[atlas.faces[face[hit]]], barycentric))
    index = np.concatenate([part[0] for part in parts])
    column, row = np.floor(triangles.mean(axis=1)[:, :2].T).astype(int)
    thin, face = np.unique(row * atlas.size + column, return_index=True)
    left_out = ~np.isin(thin, index)
    corners = atlas.source[atlas.faces[face[left_out]]]
    parts.append((thin[left_out], face[left_out], corners, np.full(corners.shape, 1.0 / 3.0, np.float32)))
    return Texels(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _from_photos(
    mesh_mm: trimesh.Trimesh, texels: Texels, photos: TexturePhotos
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 1"]]:
    """Colours that the photos give texels, and how far they are to be trusted, 0 to 1."""
    weights = weights_of(mesh_mm, photos)
    vertices_mm = mesh_mm.vertices.view(np.ndarray)
    count, bands = len(texels.index), weights.blend.shape[2]
    total, norm = np.zeros((count, bands, 3), np.float32), np.full((count, bands, 1), NOTHING, np.float32)
    trust = np.zeros((count, 1), np.float32)
    for view in progress_bar(range(len(photos)), desc="Baking the texture", unit="photo"):
        weight = texels.interpolate(weights.blend[view])
        shown = weight[:, 0] > 0.0
        if shown.any():
            pixels = photos.project(texels.where(shown).interpolate(vertices_mm), view)
            # The triangles of a light mesh reach from what a photo shows to what it does not.
            inside = sample(from_numpy(photos.inside(view))[None], pixels).numpy()
            colours = sample(photos.octaves(view).flatten(0, 1), pixels).numpy().reshape(-1, bands, 3)
            here = (weight[shown] * inside)[..., None]
            total[shown] += here * colours
            norm[shown] += here
            trust[shown] += texels.where(shown).interpolate(weights.trust[view]) * inside
    return (total / norm).sum(axis=1), trust.clip(0.0, 1.0)
