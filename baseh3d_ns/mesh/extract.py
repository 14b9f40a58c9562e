"""From a head, or any signed distance field, to a closed mesh in world millimetres, coarse to fine.

`marching` finds the cells that may hold surface and marches over them. Where that leaves holes, a slope was
underestimated: again, with a larger bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.mesh.decimate import decimate
from baseh3d_ns.mesh.files import colour_mesh
from baseh3d_ns.mesh.marching import FieldInBall, NoSurfaceError, cells_near_surface, march
from baseh3d_ns.rendering.chunks import Sdf

if TYPE_CHECKING:
    import trimesh

__all__ = ["NoSurfaceError", "extract_mesh", "has_holes", "mesh_of_head", "usual_device"]

SLOPE_BOUNDS = (1.25, 2.0, 4.0, 8.0)
"""Factors by which a field may be steeper inside a cube than measured, tried in turn while the mesh has holes."""
FRONT = ((0.0, 0.0, 3.0), (2.1, 0.0, 2.1), (-2.1, 0.0, 2.1))
"""Camera centres, in units of the unit ball, for the colours of heads that know none: in front and to both sides."""
FINEST = 2048
"""Most lattice spacings in the ball's radius: a head then has 20 million vertices, whose mesh takes 12 GB to make (600
bytes a vertex, measured)."""


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


def extract_mesh(
    sdf: Sdf,
    frame: SceneFrame,
    *,
    spacing_mm: float,
    device: torch.device | str = "cpu",
    keep_all: bool = False,
    progress: bool = True,
    slope_bounds: Sequence[float] | None = None,
) -> trimesh.Trimesh:
    """The zero level set of `sdf` inside the unit ball as a closed mesh in world millimetres, normals outward.

    Equal to marching cubes on a dense lattice of the same spacing, as long as no piece of surface is hidden from the
    bound on its slope (see `marching`); a field need not be an exact distance, slopes are measured.

    Args:
        sdf: signed distance in the unit frame, negative inside; called without gradients.
        frame: unit frame -> world millimetres.
        spacing_mm: lattice spacing, about the distance between neighbouring vertices.
        device: where `sdf` wants its points.
        keep_all: keep every component (and cavity); else only the one that encloses most volume.
        progress: show a bar when it takes longer than 2 s.
        slope_bounds: tried in turn while there are holes (default: `SLOPE_BOUNDS`); a single one for an open field.

    Raises:
        NoSurfaceError: no zero crossing inside the ball, or values that are not finite.
        InputError: `spacing_mm` is not positive or too coarse for the ball.
    """
    import trimesh

    _check_spacing(spacing_mm, frame)
    field = FieldInBall(sdf, torch.device(device), progress)
    spacing = spacing_mm / frame.radius_mm
    for bound in slope_bounds or SLOPE_BOUNDS:
        cells, slope = cells_near_surface(field, spacing, bound)
        # A field that is negative everywhere would otherwise come out as the ball itself.
        if not len(cells) or field.highest <= 0.0:
            raise field.no_surface()
        vertices, faces = march(field, cells, spacing, slope)
        if not len(faces):
            raise field.no_surface()
        if _is_watertight(faces):
            break
    if not keep_all:
        vertices, faces = _most_voluminous_component(vertices, faces)
    return trimesh.Trimesh(frame.to_world_mm(vertices), faces, process=False)


def has_holes(mesh: trimesh.Trimesh) -> bool:
    """Whether an edge belongs to a single triangle."""
    from trimesh.grouping import group_rows

    return len(group_rows(mesh.edges_sorted, require_count=1)) > 0


def _check_spacing(spacing_mm: float, frame: SceneFrame) -> None:
    least_mm, most_mm = frame.radius_mm / FINEST, frame.radius_mm / 8.0
    if not least_mm <= spacing_mm <= most_mm:
        raise InputError(
            f"A spacing of {spacing_mm} mm cannot mesh a ball of {frame.radius_mm:.0f} mm: choose one from "
            f"{math.ceil(100.0 * least_mm) / 100.0} to {math.floor(most_mm)} mm"
        )


def _is_watertight(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Whether every edge belongs to two triangles."""
    from trimesh import geometry, graph

    return bool(graph.is_watertight(geometry.faces_to_edges(faces))[0])


def _most_voluminous_component(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    """The connected component with the largest signed volume (the walls of cavities have a negative one)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(vertices),) * 2)
    _, label = connected_components(graph, directed=False)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    volumes = np.bincount(label[faces[:, 0]], weights=np.einsum("ij,ij->i", a, np.cross(b, c)) / 6.0)
    chosen = label == volumes.argmax()
    index = np.cumsum(chosen) - 1
    return vertices[chosen], index[faces[chosen[faces[:, 0]]]]
