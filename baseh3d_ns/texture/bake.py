"""Colours of a texture's texels, from the photos that show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt

from baseh3d_ns.texture.atlas import Atlas
from baseh3d_ns.texture.photos import TexturePhotos, sample
from baseh3d_ns.texture.visibility import blend_weights

if TYPE_CHECKING:
    import trimesh

ROWS = 128
"""Rows of the texture that are coloured at a time."""
SURE = 0.2
"""Sum of the photos' coarsest weights from which a texel takes its colour from them alone; below, the rest of it comes
from the colour network."""


@dataclass(frozen=True)
class Texels:
    """Texels of some rows that lie on the surface."""

    index: Int[np.ndarray, " n"]
    """Index in the texture, row by row."""
    corners: Int[np.ndarray, "n 3"]
    """Vertices, of the uncut mesh, of the triangle that each lies in."""
    barycentric: Float[np.ndarray, "n 3"]

    def interpolate(self, values: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "n c"]:
        """Values of the vertices at the texels."""
        return np.einsum("nk,nkc->nc", self.barycentric, values[self.corners])


def bake(mesh_mm: trimesh.Trimesh, atlas: Atlas, photos: TexturePhotos) -> UInt8[np.ndarray, "size size 3"]:
    """Texture of a mesh in sRGB: photos where they show it, its vertex colours elsewhere.

    Args:
        mesh_mm: the uncut mesh, with normals and vertex colours.
        atlas: its atlas.
        photos: photos of the head.
    """
    weights = blend_weights(mesh_mm, photos)
    octaves = [photos.octaves(view) for view in range(len(photos))]
    guessed = mesh_mm.visual.vertex_colors[:, :3] / 255.0
    vertices = mesh_mm.vertices.view(np.ndarray)
    texture, covered = np.zeros((atlas.size**2, 3), np.float32), np.zeros(atlas.size**2, bool)
    for texels in texels_of(atlas):
        seen, sure = _from_photos(texels, vertices, weights, octaves, photos)
        colours = sure * seen + (1.0 - sure) * texels.interpolate(guessed)
        texture[texels.index], covered[texels.index] = colours, True
    square = texture.reshape(atlas.size, atlas.size, 3)
    filled = _fill(square, covered.reshape(atlas.size, atlas.size))
    return (255.0 * filled.clip(0.0, 1.0)).round().astype(np.uint8)


def texels_of(atlas: Atlas) -> Iterator[Texels]:
    """Texels on the surface, some rows at a time; embree says which triangle holds the centre of each."""
    import trimesh

    flat = trimesh.Trimesh(np.pad(atlas.texels, ((0, 0), (0, 1))), atlas.faces, process=False)
    for start in range(0, atlas.size, ROWS):
        rows, columns = np.mgrid[start : min(start + ROWS, atlas.size), 0 : atlas.size].reshape(2, -1)
        above = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1)
        face = flat.ray.intersects_first(above, np.broadcast_to([0.0, 0.0, -1.0], above.shape))
        hit = face >= 0
        barycentric = trimesh.triangles.points_to_barycentric(
            flat.triangles.view(np.ndarray)[face[hit]], above[hit] * [1.0, 1.0, 0.0]
        )
        index = (rows * atlas.size + columns)[hit]
        corners = atlas.source[atlas.faces[face[hit]]]
        yield Texels(index, corners, np.nan_to_num(barycentric, nan=1.0 / 3.0).clip(0.0, 1.0))


def _from_photos(
    texels: Texels,
    vertices_mm: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "views v octaves"],
    octaves: list[Float[torch.Tensor, "octaves 3 _ _"]],
    photos: TexturePhotos,
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 1"]]:
    """Colours that the photos give texels, and how far they are to be trusted, 0 to 1."""
    count, bands = len(texels.index), weights.shape[2]
    total, norm = np.zeros((count, bands, 3)), np.zeros((count, bands, 1))
    for view, picture in enumerate(octaves):
        weight = texels.interpolate(weights[view])
        shown = weight[:, 0] > 0.0
        if not shown.any():
            continue
        points_mm = np.einsum("nk,nkc->nc", texels.barycentric[shown], vertices_mm[texels.corners[shown]])
        colours = sample(picture.reshape(3 * bands, *picture.shape[2:]), photos.project(points_mm, view)).numpy()
        total[shown] += weight[shown][..., None] * colours.reshape(-1, bands, 3)
        norm[shown] += weight[shown][..., None]
    blended = (total / np.maximum(norm, 1e-12)).sum(axis=1)
    return blended, (norm[:, 0] / SURE).clip(0.0, 1.0)


def _fill(texture: Float[np.ndarray, "h w 3"], covered: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """The texture with the nearest texel's colour where no chart lies: filters of viewers look beyond borders."""
    row, column = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return texture[row, column]
