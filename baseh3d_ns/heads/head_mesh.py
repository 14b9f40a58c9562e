"""A head as a mesh in world millimetres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.mesh.decimate import decimate
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.mesh.files import colour_mesh

if TYPE_CHECKING:
    import trimesh

FRONT = ((0.0, 0.0, 3.0), (2.1, 0.0, 2.1), (-2.1, 0.0, 2.1))
"""Camera centres, in units of the unit ball, for the colours of heads that know none: in front and to both sides."""


def usual_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mesh_of_head(
    head: Head,
    source: Path,
    spacing_mm: float,
    device: torch.device,
    keep_all: bool = False,
    faces: int | None = None,
) -> trimesh.Trimesh:
    """The head as a closed mesh in world millimetres, coloured as its cameras see it.

    Args:
        head: the head, as read from `source`.
        spacing_mm: distance between the samples of the mesh.
        keep_all: keep every piece of the surface, not only the largest.
        faces: most triangles that it may have, by quadric decimation.

    Raises:
        InputError: the file knows no frame in millimetres, or holds no networks of a head.
        NoSurfaceError: the SDF has no surface.
    """
    if head.frame is None:
        raise InputError(
            f"{source} does not record its frame in millimetres, so it has no mesh: fit a head from it first"
        )
    field = field_of_head(head, source).to(device).eval()
    mesh = extract_mesh(field.sdf, head.frame, spacing_mm=spacing_mm, device=device, keep_all=keep_all)
    if faces is not None:
        mesh = decimate(mesh, faces)
    centres = torch.tensor(FRONT) if head.camera_centres is None else head.camera_centres
    centres = centres.to(device)

    def appearance(points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        return field.colour_towards_cameras(points, centres)

    return colour_mesh(mesh, appearance, head.frame, device=device)
