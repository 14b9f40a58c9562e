"""A mesh of fewer triangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import trimesh


def decimate(mesh_mm: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """A mesh of at most so many triangles with nearly the same surface, without colours.

    Quadric error metric (Garland and Heckbert, 1997). A tunnel thinner than a triangle may collapse to two triangles
    back to back, which are left out, or to an edge of four, which becomes two edges in one place: a closed mesh stays
    closed.
    """
    import igl
    import trimesh

    if len(mesh_mm.faces) <= faces:
        return mesh_mm
    fewer = mesh_mm.simplify_quadric_decimation(face_count=faces)
    _, index, count = np.unique(np.sort(fewer.faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    faces_of_split, source = igl.split_nonmanifold(fewer.faces[count[index.reshape(-1)] == 1])
    return trimesh.Trimesh(fewer.vertices[source], faces_of_split, process=False)
