"""All scores of one mesh, with where they come from."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Bool
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.h3ds_package import H3DS, Mesh
from baseh3d_ns.data.h3ds_scene import read_cameras
from baseh3d_ns.data.head_size import MISTAKES, unit_mistake
from baseh3d_ns.errors import InputError, nearest
from baseh3d_ns.evaluation.official import OfficialScores, official_scores
from baseh3d_ns.evaluation.protocol import ALIGNED_REGION, FACE_RADIUS_MM, FACE_REGION
from baseh3d_ns.evaluation.rigid import RigidScores, rigid_scores
from baseh3d_ns.evaluation.scan_checks import doubts_of_alignment, misfits_of_scan
from baseh3d_ns.evaluation.score_warnings import score_warnings
from baseh3d_ns.evaluation.silhouettes import OnBackground

PACKAGES = ("baseh3d_ns", "h3ds", "libigl", "trimesh", "scipy", "numpy", "torch", "nerfstudio")
SIZE_RANGE_MM = (50.0, 2000.0)
"""Largest extents of anything from a nose to a person."""
SAME_SIZE = 0.25
"""Logarithm of the ratio of sizes below which two meshes show the same part of a person."""
MOST_OUTSIDE = 0.5
"""Share of a face outside the unit ball, which holds the head, above which scan and photos are of different worlds."""
Mesher = Callable[[float], trimesh.Trimesh]
"""Lattice spacing in millimetres, about the distance between neighbouring vertices -> a mesh in world millimetres."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of one mesh against one scene, and everything needed to compare or repeat them."""

    official: OfficialScores
    """Scores of the `h3ds` package; the only numbers to put beside published ones."""
    rigid: RigidScores
    """Scores that keep the size: rigid alignment, both directions, to the surface."""
    face_spacing_mm: float
    """Mean edge length, on the face, of the mesh that the official score measured to; NaN without an edge there."""
    on_background: OnBackground | None
    """Vertices that training photos show to lie outside the head; None where the photos are not known."""
    warnings: tuple[str, ...]
    """Reasons to doubt the numbers, one sentence each."""
    provenance: Mapping[str, Any]
    """Scene, dataset, regions, versions, date, and what the caller added (method, steps, views, device ...)."""


def mesh_and_score(
    h3ds_root: H3DS, scene_id: str, mesher: Mesher, spacing_mm: float, provenance: Mapping[str, Any] | None = None
) -> tuple[trimesh.Trimesh, Evaluation]:
    """Mesh a head and score it with vertices `spacing_mm` apart; the mesh returned is twice as coarse.

    Halving the edges of a mesh twice as coarse moves its surface by microns and takes a quarter of the time.

    Raises:
        InputError: see `evaluate_mesh`; the scene is checked before anything is meshed.
    """
    check_scene(h3ds_root, scene_id)
    mesh = mesher(2.0 * spacing_mm)
    with CONSOLE.status("Scoring against the scan ..."):
        return mesh, evaluate_mesh(h3ds_root, scene_id, mesh, halvings=1, provenance=provenance)


def evaluate_mesh(
    h3ds_root: H3DS,
    scene_id: str,
    mesh: trimesh.Trimesh,
    *,
    halvings: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score a mesh in world millimetres against a scene of an H3DS dataset.

    Args:
        h3ds_root: the opened dataset.
        scene_id: one of its scenes.
        mesh: the prediction.
        halvings: how often every edge is halved for the official score, which measures to vertices. The surface stays
            what it is.
        provenance: what produced the mesh (method, steps, views, device ...); goes into the JSON as it is.

    Raises:
        InputError: the scene is unknown, a file of its scan is missing or damaged, or the mesh is not in the scene's
            world millimetres.
    """
    check_scene(h3ds_root, scene_id)
    _check_millimetres(mesh, h3ds_root.load_mesh(scene_id))
    rigid = rigid_scores(h3ds_root, scene_id, mesh)
    doubts = misfits_of_scan(h3ds_root, scene_id)
    doubts += doubts_of_alignment(h3ds_root, scene_id, mesh, np.linalg.inv(rigid.pred_to_world))
    dense = mesh
    for _ in range(halvings):
        dense = dense.subdivide()
    official = official_scores(h3ds_root, scene_id, dense)
    truth = h3ds_root.load_mesh(scene_id)
    nose_tip = truth.vertices[h3ds_root.load_landmarks(scene_id)["nose_tip"]]
    near_nose = np.linalg.norm(dense.vertices - nose_tip, axis=1) <= FACE_RADIUS_MM
    spacing = mesh_spacing_mm(dense, near_nose)
    return Evaluation(
        official=official,
        rigid=rigid,
        face_spacing_mm=spacing,
        on_background=None,
        warnings=(*score_warnings(official, spacing, mesh), *doubts),
        provenance={**_provenance(h3ds_root, scene_id), **(provenance or {})},
    )


def mesh_spacing_mm(mesh: trimesh.Trimesh, on_region: Bool[np.ndarray, " v"]) -> float:
    """Mean length of the edges whose two ends lie in the region (a mask over vertices); NaN where there is none."""
    edges = mesh.edges[on_region[mesh.edges].all(axis=1)]
    if not len(edges):
        return float("nan")
    # Each edge once, though two faces have it.
    start, end = np.divmod(np.unique(edges.min(axis=1) * len(mesh.vertices) + edges.max(axis=1)), len(mesh.vertices))
    return float(np.linalg.norm(mesh.vertices[start] - mesh.vertices[end], axis=1).mean())


def check_scene(h3ds_root: H3DS, scene_id: str) -> None:
    """Raise `InputError` unless a scene's scan, landmarks and regions can be scored: the package fails halfway."""
    if scene_id not in h3ds_root.scenes():
        raise InputError(
            f"{h3ds_root.config_path} has no scene {scene_id}; nearest: {nearest(scene_id, h3ds_root.scenes())}."
        )
    needed = scan_files(h3ds_root, scene_id)
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing, and scoring needs it; complete the scene's folder.")
    extent_mm = float(np.ptp(h3ds_root.load_mesh(scene_id).vertices, axis=0).max())
    if not SIZE_RANGE_MM[0] <= extent_mm <= SIZE_RANGE_MM[1]:
        mistake = unit_mistake(extent_mm) or "a scan is in world millimetres: scale it"
        raise InputError(f"{needed[0]} is {extent_mm:.3g} mm large, which is no head; {mistake}.")
    if "nose_tip" not in h3ds_root.load_landmarks(scene_id):
        raise InputError(f"{needed[1]} has no landmark nose_tip, and scoring needs it: add its vertex number.")
    for region in (ALIGNED_REGION, FACE_REGION):
        h3ds_root.load_region(scene_id, region)
    _check_in_ball(h3ds_root, scene_id)


def _check_in_ball(h3ds_root: H3DS, scene_id: str) -> None:
    """Raise `InputError` where most of a scan's face lies outside the ball that the scene's cameras look at."""
    cameras, scan = (Path(find(scene_id)) for find in (h3ds_root.helper.scene_cameras, h3ds_root.helper.scene_mesh))
    if not cameras.is_file():
        return
    _, frame = read_cameras(cameras, h3ds_root.helper.scene_views(scene_id))
    face = h3ds_root.load_mesh(scene_id).vertices[h3ds_root.load_region(scene_id, FACE_REGION)]
    outside = float((np.linalg.norm(frame.to_unit(face), axis=1) > 1.0).mean())
    if outside > MOST_OUTSIDE:
        raise InputError(
            f"{scan} lies elsewhere than the head in the photos: {100.0 * outside:.0f} % of its region '{FACE_REGION}' "
            f"are outside the ball of {cameras.name}; move it into the world of the cameras, or score the head with "
            f"`--scan {scan}`, which finds where it belongs."
        )


def scan_files(h3ds_root: H3DS, scene_id: str) -> list[Path]:
    """Files that scoring a scene needs: its scan, landmarks, regions."""
    helper = h3ds_root.helper
    regions = [helper.scene_region(scene_id, region) for region in (ALIGNED_REGION, FACE_REGION)]
    return [Path(path) for path in (helper.scene_mesh(scene_id), helper.scene_landmarks(scene_id), *regions)]


def _check_millimetres(mesh: trimesh.Trimesh, scan: Mesh) -> None:
    """Raise `InputError` for a size that is no head's, or that is the scan's in another unit."""
    extent_mm = float(mesh.extents.max()) if len(mesh.faces) else 0.0
    factor = float(np.ptp(scan.vertices, axis=0).max()) / max(extent_mm, 1e-9)
    in_other_unit = any(abs(math.log(factor / unit)) < SAME_SIZE for unit in MISTAKES.values())
    if not SIZE_RANGE_MM[0] <= extent_mm <= SIZE_RANGE_MM[1] or in_other_unit:
        mistake = unit_mistake(extent_mm) if extent_mm else "it has no faces"
        raise InputError(
            f"The mesh is {extent_mm:.3g} mm large, which is no head"
            + (f"; {mistake}" if mistake else "")
            + "; evaluate the .ply, .obj or .stl in world millimetres, not a .glb (metres) or a mesh in the unit frame."
        )


def _provenance(h3ds_root: H3DS, scene_id: str) -> dict[str, Any]:
    """Scene, dataset and regions of a score, and its `environment`."""
    return {
        "scene": scene_id,
        "dataset_path": str(h3ds_root.path),
        "dataset_version": h3ds_root.helper.version_dataset(),
        "config": Path(h3ds_root.config_path).name,
        "config_version": h3ds_root.helper.version_config(),
        "scored_regions": {"face": FACE_REGION, "head": "all vertices"},
        "aligned_on": {"official face": FACE_REGION, "official head": ALIGNED_REGION, "rigid": ALIGNED_REGION},
        **environment(),
    }


def environment() -> dict[str, Any]:
    """Packages, commit and date of an evaluation."""
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit this package runs from; None when it was installed without its repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
