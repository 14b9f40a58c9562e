"""Points on the surfaces of heads that stand alike in one frame: what a head shape space is learned from.

A surface may be open, of several pieces and of any resolution; all that is asked of it is that its faces look outwards.
Heads are brought to the standard frame rigidly, never scaled: millimetres stay millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from baseh3d_ns.data.head_size import HEAD_MM, unit_mistake
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import HEAD_FRAME, LANDMARKS_MM

if TYPE_CHECKING:
    import trimesh

FEWEST_LANDMARKS = 3
LEAST_OUTWARDS = 0.1
"""Mean of points . normals in the unit frame: 0 where every face is there both ways, less where they look inwards."""


@dataclass(frozen=True)
class HeadSamples:
    """Points on one head in the unit frame of `HEAD_FRAME`."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Unit length, outwards."""
    colours: UInt8[np.ndarray, "n 3"] | None = None
    """sRGB; None where the surface has none."""


def sample_mesh(
    mesh_mm: trimesh.Trimesh, count: int, seed: int, colours: Float[np.ndarray, "v 3"] | None
) -> HeadSamples:
    """`count` points spread evenly over a mesh that stands in the standard frame, those in the ball.

    Args:
        mesh_mm: millimetres, in the frame of `LANDMARKS_MM`.
        count: points, among which those outside the unit ball are drawn again.
        seed: same seed, same points.
        colours: of its vertices, sRGB in 0..1.

    Raises:
        InputError: hardly anything of the mesh lies in the ball, or its faces do not look outwards.
    """
    import trimesh

    points, face = trimesh.sample.sample_surface(mesh_mm, 3 * count, seed=seed)
    unit = HEAD_FRAME.to_unit(np.asarray(points))
    kept = np.flatnonzero(np.linalg.norm(unit, axis=1) < 1.0)[:count]
    if len(kept) < count:
        raise InputError(
            f"only {len(kept) / (3 * count):.0%} of its surface lies within {HEAD_FRAME.radius_mm:.0f} mm of where a "
            "head is expected: give its landmarks, or move it there (origin between the ears, +y up, +z ahead)"
        )
    normals = mesh_mm.face_normals[face[kept]]
    if (unit[kept] * normals).sum(axis=1).mean() < LEAST_OUTWARDS:
        raise InputError(  # it would be learned inside out, or empty
            "its faces do not look outwards: turn them round, and keep each of them once (in Blender: Mesh > Normals > "
            "Recalculate Outside)"
        )
    corners = mesh_mm.faces[face[kept]]
    weights = trimesh.triangles.points_to_barycentric(mesh_mm.triangles[face[kept]], np.asarray(points)[kept])
    shades = None
    if colours is not None:
        shades = np.einsum("nk,nkc->nc", weights, colours[corners]).clip(0.0, 1.0)
        shades = (255.0 * shades).round().astype(np.uint8)
    return HeadSamples(unit[kept].astype(np.float32), normals.astype(np.float32), shades)


def standard_pose(landmarks_mm: dict[str, Float[np.ndarray, " 3"]]) -> Float[np.ndarray, "4 4"]:
    """The rotation and translation that bring landmarks onto `LANDMARKS_MM` (least squares, Kabsch 1976).

    Raises:
        InputError: fewer than three of the six are known, or they are not a face in millimetres.
    """
    names = [name for name in LANDMARKS_MM if name in landmarks_mm]
    if len(names) < FEWEST_LANDMARKS:
        raise InputError(f"it names {len(names)} of the landmarks {', '.join(LANDMARKS_MM)}: give at least three")
    here = np.array([landmarks_mm[name] for name in names])
    there = np.array([LANDMARKS_MM[name] for name in names])
    turn, _ = Rotation.align_vectors(there - there.mean(axis=0), here - here.mean(axis=0))
    pose = np.eye(4)
    pose[:3, :3] = turn.as_matrix()
    pose[:3, 3] = there.mean(axis=0) - pose[:3, :3] @ here.mean(axis=0)
    off_mm = np.linalg.norm(here @ pose[:3, :3].T + pose[:3, 3] - there, axis=1).max()
    if off_mm > 25.0:
        raise InputError(
            f"its landmarks lie up to {off_mm:.0f} mm from an average face's: check their names and the mesh's unit"
        )
    return pose


def check_mesh(mesh_mm: trimesh.Trimesh) -> None:
    """Raise `InputError` unless the mesh has faces, finite vertices, and the size of a head in millimetres."""
    if not len(mesh_mm.faces):
        raise InputError("it has no faces: export the surface, not a point cloud")
    if not np.isfinite(mesh_mm.vertices).all():
        odd = int((~np.isfinite(mesh_mm.vertices)).any(axis=1).sum())
        raise InputError(f"{odd} of its vertices are not finite: repair it or take it out of the folder")
    largest = float(mesh_mm.extents.max())
    if not HEAD_MM[0] < largest < HEAD_MM[1]:
        mistake = unit_mistake(largest)
        raise InputError(
            f"it is {largest:.3g} mm large, a head measures {HEAD_MM[0]:.0f} to {HEAD_MM[1]:.0f}: state its unit (mm, "
            "cm, m), and keep heads of different units in different folders" + (f" ({mistake})" if mistake else "")
        )
