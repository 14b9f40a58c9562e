"""A head mesh with a texture baked from its photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from baseh3d_ns.texture.atlas import unwrap
from baseh3d_ns.texture.bake import bake
from baseh3d_ns.texture.photos import TexturePhotos

if TYPE_CHECKING:
    import trimesh


def textured_mesh(mesh_mm: trimesh.Trimesh, photos: TexturePhotos, size: int) -> trimesh.Trimesh:
    """The same surface, cut open along the borders of an atlas, with a texture instead of vertex colours.

    Args:
        mesh_mm: in world millimetres, with normals and vertex colours.
        photos: photos of the head.
        size: width and height of the texture in texels.
    """
    import trimesh
    from trimesh.visual.material import PBRMaterial

    atlas = unwrap(mesh_mm, size)
    image = Image.fromarray(bake(mesh_mm, atlas, photos))
    material = PBRMaterial(baseColorTexture=image, metallicFactor=0.0, roughnessFactor=1.0)
    # trimesh counts v from the lower edge.
    uv = np.array([0.0, 1.0]) + atlas.texels * [1.0 / size, -1.0 / size]
    return trimesh.Trimesh(
        mesh_mm.vertices[atlas.source],
        atlas.faces,
        vertex_normals=mesh_mm.vertex_normals[atlas.source],
        visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
        process=False,
    )
