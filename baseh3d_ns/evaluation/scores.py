"""All scores of one mesh with where they come from, and the folder they are written to."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Bool

from baseh3d_ns.data.h3ds_package import H3DS
from baseh3d_ns.errors import InputError, nearest
from baseh3d_ns.evaluation.official import FACE_REGION, OfficialScores, official_scores
from baseh3d_ns.evaluation.pictures import PhotoView, evaluation_picture, heatmap_mesh
from baseh3d_ns.evaluation.rigid import FACE_RADIUS_MM, RigidScores, rigid_scores
from baseh3d_ns.mesh.files import save_mesh

MAX_SPACING_MM = 0.6
"""H3DS measures to the nearest predicted vertex: a coarser mesh reads too high."""
PACKAGES = ("baseh3d_ns", "h3ds", "trimesh", "scipy", "numpy", "torch", "nerfstudio")
FILES = ("evaluation.json", "error_heatmap.ply", "head.ply", "evaluation.png")
ARRAYS = ("pred_to_world", "pred_to_gt_mm")
"""Fields of `RigidScores` that are not numbers for a table."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of one mesh against one scene, and everything needed to compare or repeat them."""

    official: OfficialScores
    """What the `h3ds` package says; the only numbers to put beside published ones."""
    rigid: RigidScores
    """What it says when the size counts, both ways, to the surface."""
    face_spacing_mm: float
    """Mean edge length, on the face, of what the official score was given."""
    warnings: tuple[str, ...]
    """Reasons to doubt the numbers, one sentence each."""
    provenance: Mapping[str, Any]
    """Scene, dataset, regions, versions, date, and what the caller added (method, steps, views, device ...)."""

    @property
    def title(self) -> str:
        """The scores in one line."""
        official, rigid = self.official, self.rigid
        return (
            f"{self.provenance['scene']}   H3DS face / head {official.face_mm:.2f} / {official.head_mm:.2f} mm "
            f"(scale {official.face_icp_scale:.3f})   rigid, both ways {rigid.face.mean_mm:.2f} / "
            f"{rigid.head.mean_mm:.2f} mm"
        )

    def as_json(self) -> str:
        """The content of `evaluation.json`."""
        content = dataclasses.asdict(self)
        for name in ARRAYS:
            del content["rigid"][name]
        # JSON has no NaN.
        content["face_spacing_mm"] = self.face_spacing_mm if np.isfinite(self.face_spacing_mm) else None
        content["rigid"]["pred_to_world"] = self.rigid.pred_to_world.tolist()
        return json.dumps(content, indent=2, default=str) + "\n"


def evaluate_mesh(
    h3ds_root: H3DS,
    scene_id: str,
    mesh: trimesh.Trimesh,
    *,
    landmarks: dict[str, int] | None = None,
    halvings: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score a mesh in world millimetres against a scene of an H3DS dataset.

    Args:
        h3ds_root: the opened dataset.
        scene_id: one of its scenes.
        mesh: the prediction.
        landmarks: predicted vertex of each H3DS landmark, for the official alignment only.
        halvings: how often every edge is halved for the official score, which measures to vertices. The surface stays
            what it is.
        provenance: what produced the mesh (method, steps, views, device ...); goes into the JSON as it is.

    Raises:
        InputError: the scene is unknown or lacks a file, or the mesh is not in the scene's world millimetres.
    """
    check_scene(h3ds_root, scene_id)
    _check_millimetres(mesh)
    rigid = rigid_scores(h3ds_root, scene_id, mesh)
    dense = mesh
    for _ in range(halvings):
        dense = dense.subdivide()
    official = official_scores(h3ds_root, scene_id, dense, landmarks)
    truth = h3ds_root.load_mesh(scene_id)
    nose_tip = truth.vertices[h3ds_root.load_landmarks(scene_id)["nose_tip"]]
    near_nose = np.linalg.norm(dense.vertices - nose_tip, axis=1) <= FACE_RADIUS_MM
    spacing = mesh_spacing_mm(dense, near_nose)
    return Evaluation(
        official=official,
        rigid=rigid,
        face_spacing_mm=spacing,
        warnings=_warnings(official, spacing, mesh),
        provenance={**_provenance(h3ds_root, scene_id), **(provenance or {})},
    )


def write_evaluation(
    folder: Path, evaluation: Evaluation, mesh: trimesh.Trimesh, views: Sequence[PhotoView] = ()
) -> Path:
    """Write `evaluation.json`, two meshes (`head.ply`, `error_heatmap.ply`) and, given views, `evaluation.png`.

    Nothing is ever overwritten.

    Returns:
        The folder written to: `folder`, or `folder-2`, `folder-3` ... beside it when it holds an evaluation already.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = Path(folder)
    chosen, number = folder, 1
    while any((chosen / name).exists() for name in FILES):
        number += 1
        chosen = folder.with_name(f"{folder.name}-{number}")
    # All or nothing: an interrupted evaluation leaves no folder that looks finished.
    unfinished = folder.with_name(f".{chosen.name}.{os.getpid()}.tmp")
    try:
        unfinished.mkdir(parents=True)
        (unfinished / FILES[0]).write_text(evaluation.as_json(), encoding="utf-8")
        save_mesh(heatmap_mesh(mesh, evaluation.rigid.pred_to_gt_mm), unfinished / FILES[1])
        save_mesh(mesh, unfinished / FILES[2])
        if views:
            distances_mm = evaluation.rigid.pred_to_gt_mm
            evaluation_picture(unfinished / FILES[3], views, mesh, distances_mm, evaluation.title)
        chosen.mkdir(exist_ok=True)
        for file in unfinished.iterdir():
            os.rename(file, chosen / file.name)
    except OSError as error:
        raise InputError(f"{chosen} cannot be written ({error.strerror}): choose another folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return chosen


def mesh_spacing_mm(mesh: trimesh.Trimesh, on_region: Bool[np.ndarray, " v"]) -> float:
    """Mean length of the edges whose two ends lie in the region (a mask over vertices); NaN where there is none."""
    edges = mesh.edges[on_region[mesh.edges].all(axis=1)]
    if not len(edges):
        return float("nan")
    # Each edge once, though two faces have it.
    start, end = np.divmod(np.unique(edges.min(axis=1) * len(mesh.vertices) + edges.max(axis=1)), len(mesh.vertices))
    return float(np.linalg.norm(mesh.vertices[start] - mesh.vertices[end], axis=1).mean())


def check_scene(h3ds_root: H3DS, scene_id: str) -> None:
    """Raise `InputError` unless the scene has its scan, landmarks and regions; the official code would fail halfway."""
    if scene_id not in h3ds_root.scenes():
        raise InputError(
            f"{h3ds_root.config_path} has no scene {scene_id}; nearest: {nearest(scene_id, h3ds_root.scenes())}."
        )
    helper = h3ds_root.helper
    needed = [helper.scene_mesh(scene_id), helper.scene_landmarks(scene_id)]
    needed += [helper.scene_region(scene_id, region) for region in ("face", FACE_REGION)]
    missing = [path for path in needed if not Path(path).is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing, and scoring needs it; complete the H3DS scene folder.")


def _check_millimetres(mesh: trimesh.Trimesh) -> None:
    height_mm = float(mesh.extents.max()) if len(mesh.faces) else 0.0
    if not 50.0 <= height_mm <= 2000.0:
        raise InputError(
            f"The mesh is {height_mm:.3g} mm large, which is no head; evaluate the .ply, .obj or .stl in world "
            "millimetres, not a .glb (metres) or a mesh in the unit frame."
        )


def _warnings(official: OfficialScores, spacing_mm: float, mesh: trimesh.Trimesh) -> tuple[str, ...]:
    """Reasons to doubt the scores."""
    found = []
    # Written so that NaN (no edge on the face) warns too.
    if not spacing_mm <= MAX_SPACING_MM:
        found.append(
            f"Vertices on the face are {spacing_mm:.2f} mm apart; H3DS measures to the nearest vertex, so the official "
            f"numbers read too high; mesh again at {MAX_SPACING_MM} mm or less."
        )
    if abs(official.face_icp_scale - 1.0) > 0.02:
        found.append(
            f"The official alignment scaled the mesh by {official.face_icp_scale:.3f}; its size is wrong, and only the "
            "rigid numbers show it."
        )
    if official.mirrored:
        found.append("The official alignment mirrored the mesh.")
    if not mesh.is_watertight:
        found.append("The mesh is not watertight.")
    return tuple(found)


def _provenance(h3ds_root: H3DS, scene_id: str) -> dict[str, Any]:
    """Where the numbers come from, as far as it can be found here."""
    return {
        "scene": scene_id,
        "dataset_path": str(h3ds_root.path),
        "dataset_version": h3ds_root.helper.version_dataset(),
        "config": Path(h3ds_root.config_path).name,
        "config_version": h3ds_root.helper.version_config(),
        "scored_regions": {"face": FACE_REGION, "head": "all vertices"},
        "aligned_on": {"official face": FACE_REGION, "official head": "face", "rigid": "face"},
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
