"""A trained head scored against a scan that the user brings along."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.cameras import Pinhole, centred_intrinsics
from baseh3d_ns.data.head_size import Unit
from baseh3d_ns.evaluation.any_scan import ScanScores, score_with_likely_nose
from baseh3d_ns.evaluation.nose import axes_of_head, nose_tips
from baseh3d_ns.evaluation.pictures import PICTURE_SIDE, SIDES_DEG, PhotoView, evaluation_picture, render
from baseh3d_ns.evaluation.run_files import evaluation_folder, run_provenance, scale_of
from baseh3d_ns.evaluation.scan_file import read_scan, unit_of
from baseh3d_ns.evaluation.silhouettes import OnBackground, find_on_background
from baseh3d_ns.evaluation.write import SCORES, json_text, meshes_with_errors, rigid_table, write_files
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.mesh.extract import mesh_of_head, usual_device

NOT_OFFICIAL = (
    "Rigid scores against a scan of your own, both directions, aligned on the face alone, so that they read "
    "lower than those of H3DS scenes; not the official H3DS scores, which need that dataset's landmarks and regions."
)
DISTANCE, FOCAL = 4.0, 1.8
"""Distance of those cameras from the head, in radii of its unit ball, and focal length, in widths of the picture."""


@dataclass(frozen=True)
class ScanRun:
    """A head, its scores against the scan, and the folder that was written."""

    head: Head
    scores: ScanScores
    scale: dict[str, Any] | None
    """Source and uncertainty of the head's millimetres, where they are uncertain."""
    on_background: OnBackground | None
    """Vertices that training photos show outside the head; None where these are not known."""
    warnings: tuple[str, ...]
    folder: Path


def score_with_scan(
    opened: OpenedHead, scan_path: Path, unit: Unit | None, output_dir: Path | None, spacing_mm: float
) -> ScanRun:
    """Mesh a head, align a scan to it, score it and write the result.

    Args:
        opened: the head.
        scan_path: a mesh file.
        unit: unit of the scan; None: metres for glTF, else millimetres.
        output_dir: folder to write to; by default `evaluation` in the run's folder.
        spacing_mm: half the distance between the vertices that are scored.

    Raises:
        InputError: the head or the scan cannot be used.
    """
    file, head = opened.file, opened.head
    scan = read_scan(scan_path, unit)
    device = usual_device()
    # As coarse as the mesh that `mesh_and_score` has for rigid scores, which measure to surfaces.
    mesh, axes = mesh_of_head(head, file, 2.0 * spacing_mm, device), axes_of_head(field_of_head(head, file).placement)
    assert head.frame is not None, "else there is no mesh in millimetres"
    with CONSOLE.status(f"Aligning and scoring against {scan_path.name} ..."):
        scores = score_with_likely_nose(mesh, scan, nose_tips(mesh, axes), head.frame)
    outside, doubts = find_on_background(opened, mesh.vertices)
    warnings, scale = (*head.doubts, *doubts, *scores.warnings), scale_of(head)
    read_as = {"scan": str(scan_path), "scan_unit": unit_of(scan_path, unit), "scan_extents_mm": scan.extents.tolist()}
    found = {"scale": scale, "on_background": outside and asdict(outside), "warnings": warnings}
    origin = {"provenance": {**run_provenance(head, file, device), **read_as}}
    content = {"note": NOT_OFFICIAL, **asdict(scores), "rigid": rigid_table(scores.rigid), **found, **origin}
    scan.apply_transform(np.linalg.inv(scores.rigid.pred_to_world))
    views = views_of_scan(scan, axes, head.frame)
    distances_mm = scores.rigid.pred_to_gt_mm
    face, whole = scores.rigid.face.mean_mm, scores.rigid.head.mean_mm
    title = f"against {scan_path.name}: rigid, both ways: face {face:.2f} mm, head {whole:.2f} mm"
    folder = write_files(
        evaluation_folder(file, output_dir),
        {SCORES: json_text(content).encode(), **meshes_with_errors(mesh, distances_mm)},
        lambda unfinished: evaluation_picture(unfinished, views, mesh, distances_mm, title, left="scan"),
    )
    return ScanRun(head, scores, scale, outside, warnings, folder)


def views_of_scan(scan: trimesh.Trimesh, axes: Float[np.ndarray, "3 3"], frame: SceneFrame) -> list[PhotoView]:
    """Renders of the scan, in the head's world, from the front and both sides.

    Args:
        scan: the aligned scan in mm.
        axes: left, up and ahead of the head as rows.
        frame: unit frame of the head.
    """
    grey = np.full((len(scan.vertices), 3), 200, dtype=np.uint8)
    cameras = [_camera(np.radians(degrees), axes, frame) for degrees in SIDES_DEG]
    return [PhotoView(render(scan, grey, camera).colour, camera) for camera in cameras]


def _camera(azimuth: float, axes: Float[np.ndarray, "3 3"], frame: SceneFrame) -> Pinhole:
    """Camera that looks at the middle of the ball, upright, from that azimuth to the subject's left."""
    left, up, ahead = axes
    towards = np.sin(azimuth) * left + np.cos(azimuth) * ahead
    rotation = np.stack([np.cross(up, towards), -up, -towards])
    centre = np.asarray(frame.centre_mm) + DISTANCE * frame.radius_mm * towards
    intrinsics = centred_intrinsics(FOCAL * PICTURE_SIDE, PICTURE_SIDE, PICTURE_SIDE)
    return Pinhole(intrinsics, rotation, -rotation @ centre, PICTURE_SIDE, PICTURE_SIDE)
