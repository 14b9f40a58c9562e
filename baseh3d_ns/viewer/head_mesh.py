"""A head that is being fitted as a mesh: in the viewer's scene, and in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.mesh.files import colour_mesh, encode_mesh, save_mesh
from baseh3d_ns.viewer.cut import Plane

if TYPE_CHECKING:
    import trimesh

    from baseh3d_ns.fields.head_field import HeadField

SHOWN_SPACING_MM, SAVED_SPACING_MM = 2.5, 1.0
"""Distances between the samples of a mesh that is looked at, and of one that is written."""
MESH, SCAN, CUT = "/head/mesh", "/head/scan", "/head/cut"
"""Names in the scene."""
METRES_PER_MM = 1e-3


def coloured(
    field: HeadField, centres: Float[Tensor, "cameras 3"], frame: SceneFrame, spacing_mm: float
) -> trimesh.Trimesh:
    """A head in world millimetres, with its colours.

    Args:
        centres: camera centres in the unit frame.

    Raises:
        NoSurfaceError: it has no surface.
    """
    mesh = extract_mesh(field.sdf, frame, spacing_mm=spacing_mm, device=centres.device, progress=False)
    return colour_mesh(mesh, lambda points: field.colour_towards_cameras(points, centres), frame, device=centres.device)


def save(mesh_mm: trimesh.Trimesh, folder: Path, step: int) -> Path:
    """Write a mesh to a new file in `folder`, whose name says the training step.

    Raises:
        InputError: the folder cannot be written to.
    """
    number, path = 1, folder / f"mesh-step-{step:06d}.ply"
    while path.exists():
        number += 1
        path = folder / f"mesh-step-{step:06d}-{number}.ply"
    save_mesh(mesh_mm, path)
    return path


class HeadInScene:
    """Meshes in world millimetres, and a cutting plane, in viser's scene."""

    def __init__(self, scene: Any, frame: SceneFrame) -> None:
        from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO

        self.scene, self.frame, self.ratio = scene, frame, VISER_NERFSTUDIO_SCALE_RATIO
        self.handles: dict[str, Any] = {}

    def put(self, name: str, mesh_mm: trimesh.Trimesh) -> None:
        """Show a mesh in place of that of the same name."""
        scale = self.ratio / self.frame.radius_mm / METRES_PER_MM
        self.handles[name] = self.scene.add_glb(
            name, encode_mesh(mesh_mm, ".glb"), scale=scale, position=self._position(0.0)
        )

    def move(self, name: str, right: float) -> None:
        """Place a mesh beside the head, at a distance along x in units of the unit ball."""
        if name in self.handles:
            self.handles[name].position = self._position(right)

    def show(self, name: str, visible: bool) -> None:
        """Show or hide a mesh."""
        if name in self.handles:
            self.handles[name].visible = visible

    def put_plane(self, plane: Plane, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Show a plane in place of the one before."""
        from viser.transforms import SO3

        right, down = plane.directions()
        turn = SO3.from_matrix(np.stack([right, down, np.cross(right, down)], axis=1))
        self.handles[CUT] = self.scene.add_image(
            CUT,
            picture,
            2.0 * self.ratio,
            2.0 * self.ratio,
            wxyz=turn.wxyz,
            position=self.ratio * plane.position(self.frame),
        )

    def remove_plane(self) -> None:
        """Take the plane away."""
        handle = self.handles.pop(CUT, None)
        if handle is not None:
            handle.remove()

    def _position(self, right: float) -> tuple[float, ...]:
        centre = -np.asarray(self.frame.centre_mm) / self.frame.radius_mm + [right, 0.0, 0.0]
        return tuple(self.ratio * centre)
