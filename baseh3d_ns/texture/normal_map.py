"""Normal map of a mesh that has fewer triangles than its surface has detail.

glTF 2.0, section 3.9.3 (`normalTexture`): x along the texture's rows, y upwards in its picture, z outwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.rendering.chunks import points_per_call
from baseh3d_ns.texture.atlas import Atlas
from baseh3d_ns.texture.bake import Texels

if TYPE_CHECKING:
    import trimesh

SurfaceNormals = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]
"""Points near the surface, in world millimetres -> its normals there; zero where the surface is too far away."""
NEAR_MM = 3.0
"""Distance from the surface beyond which it says nothing: a mesh is also closed where the unit ball cuts the head."""
TEXELS_ACROSS = 2
"""Texels of the texture across one of the normal map: no detail of an SDF is as fine as that of photos."""
LEAST_COS = 0.2
"""Cosine between the mesh's normal and the surface's below which they are sides of a fold, and the mesh's stays."""


def normals_of_head(head: Head, source: Path, device: torch.device) -> SurfaceNormals:
    """Normals of the surface of a head, from the gradient of its SDF.

    Args:
        head: the head, as read from `source`; it knows its frame in millimetres, or it would have no mesh.

    Raises:
        InputError: the file holds no networks of a head.
    """
    assert head.frame is not None
    field, frame = field_of_head(head, source).to(device).eval(), head.frame

    def surface_normals(points_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        parts = torch.from_numpy(frame.to_unit(points_mm)).float().split(points_per_call(device, with_gradient=True))
        normals = []
        for part in progress_bar(parts, desc="Normals of the surface", unit="chunk"):
            distance, _, gradient = field.with_gradient(part.to(device), create_graph=False)
            near = distance.abs() < NEAR_MM / frame.radius_mm
            normals.append((near[:, None] * torch.nn.functional.normalize(gradient, dim=-1)).cpu())
        return torch.cat(normals).numpy()

    return surface_normals


def coarser(atlas: Atlas) -> Atlas:
    """The atlas in a texture of the normal map's size."""
    size = atlas.size // TEXELS_ACROSS
    return replace(atlas, texels=atlas.texels * (size / atlas.size), size=size)


def tangents(normals: Float[np.ndarray, "n 3"], right: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Unit vectors along the texture's rows, perpendicular to unit normals."""
    along = right - (right * normals).sum(axis=1, keepdims=True) * normals
    return along / np.linalg.norm(along, axis=1, keepdims=True).clip(1e-6)


def in_tangent_space(
    mesh_mm: trimesh.Trimesh, atlas: Atlas, texels: Texels, surface_normals: SurfaceNormals
) -> Float[np.ndarray, "n 3"]:
    """Normals of the surface at texels in the tangent space that viewers interpolate between a triangle's corners.

    Args:
        mesh_mm: the uncut mesh, with normals.
    """
    wanted = surface_normals(texels.interpolate(mesh_mm.vertices.view(np.ndarray)))
    right = atlas.right[atlas.faces[texels.face, 0]]
    axes = np.zeros((3, len(wanted), 3))
    for corner in range(3):
        normal = mesh_mm.vertex_normals[texels.corners[:, corner]]
        tangent = tangents(normal, right)
        weight = texels.barycentric[:, corner, None]
        axes += weight * np.stack([tangent, np.cross(normal, tangent), normal])
    axes /= np.linalg.norm(axes, axis=2, keepdims=True).clip(1e-6)
    kept = (wanted * axes[2]).sum(axis=1) < LEAST_COS
    wanted = np.where(kept[:, None], axes[2], wanted)
    # Their axes are not quite perpendicular after interpolation.
    inside = np.linalg.solve(axes.transpose(1, 2, 0), wanted[..., None])[..., 0]
    return inside / np.linalg.norm(inside, axis=1, keepdims=True)
