"""A head mesh with a texture baked from its photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from baseh3d_ns.evaluation.camera_corrections import corrections_of
from baseh3d_ns.evaluation.head_photos import photos_of_head
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.mesh.files import MATERIAL, MATT, TANGENTS
from baseh3d_ns.texture.atlas import unwrap
from baseh3d_ns.texture.bake import bake, texels_of
from baseh3d_ns.texture.normal_map import SurfaceNormals, coarser, in_tangent_space, tangents
from baseh3d_ns.texture.photos import TexturePhotos

if TYPE_CHECKING:
    import trimesh

TEXTURED_SPACING_MM = 2.0
"""Distance between the samples of a textured mesh: finer detail is the texture's."""


def open_texture_photos(opened: OpenedHead, size: int) -> TexturePhotos:
    """Training photos of a head, all read; none is larger than the texture, which could not hold its detail.

    Args:
        opened: the head.
        size: width and height of the texture in texels.

    Raises:
        InputError: the photos are not known, gone, damaged, or of another head.
    """
    dataset = photos_of_head(opened, size).training
    for view in range(len(dataset)):
        dataset.picture(view)
    return TexturePhotos(dataset, corrections_of(opened.head, dataset))


def textured_mesh(
    mesh_mm: trimesh.Trimesh, photos: TexturePhotos, size: int, surface_normals: SurfaceNormals | None = None
) -> trimesh.Trimesh:
    """The same surface, cut open along the borders of an atlas, with a texture instead of vertex colours.

    Args:
        mesh_mm: in world millimetres, with normals and vertex colours.
        photos: photos of the head.
        size: width and height of the texture in texels.
        surface_normals: of the surface that the mesh stands for, for a normal map; None: without one.

    Raises:
        InputError: the surface has too many pieces for a texture of that size.
    """
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    atlas = unwrap(mesh_mm, size)
    texels = texels_of(atlas)
    image = Image.fromarray(texels.picture(bake(mesh_mm, texels, photos), size))
    material = PBRMaterial(name=MATERIAL, baseColorTexture=image, **MATT)
    # trimesh counts v from the lower edge.
    uv = np.array([0.0, 1.0]) + atlas.texels * [1.0 / size, -1.0 / size]
    normals = mesh_mm.vertex_normals[atlas.source]
    textured = trimesh.Trimesh(
        mesh_mm.vertices[atlas.source],
        atlas.faces,
        vertex_normals=normals,
        visual=TextureVisuals(uv=uv, material=material),
        process=False,
    )
    if surface_normals is not None:
        coarse = coarser(atlas)
        texels = texels_of(coarse)
        detail = in_tangent_space(mesh_mm, coarse, texels, surface_normals)
        material.normalTexture = Image.fromarray(texels.picture(0.5 + 0.5 * detail, coarse.size))
        handed = np.ones((len(normals), 1))
        textured.vertex_attributes[TANGENTS] = np.hstack([tangents(normals, atlas.right), handed]).astype(np.float32)
    return textured
