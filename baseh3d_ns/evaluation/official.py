"""The H3DS score exactly as the `h3ds` package computes it, with the similarity its alignment took.

Meaning: ICP on the ground truth's region moves, *scales* and may mirror the prediction; then the mean over ground-truth
vertices of the distance to the nearest predicted vertex. So a head that is 20 % too big scores well (the scale tells),
and extra geometry costs nothing: read it beside `evaluation.rigid`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float

from baseh3d_ns.data.h3ds_package import H3DS, Mesh, quiet
from baseh3d_ns.evaluation.protocol import FACE_REGION

REGIONS = (FACE_REGION, None)
"""Scored regions: the face, and everything."""


@dataclass(frozen=True)
class OfficialScores:
    """Results of `H3DS.evaluate_scene` for one prediction."""

    face_mm: float
    """Mean over the ground-truth vertices of `FACE_REGION`, aligned on `FACE_REGION`."""
    head_mm: float
    """Mean over all ground-truth vertices, aligned on the region 'face'."""
    face_icp_scale: float
    """Factor by which the alignment scaled the prediction for `face_mm`: 0.8 for a head 25 % too big."""
    head_icp_scale: float
    """The same for `head_mm`."""
    mirrored: bool
    """Whether either alignment mirrored the prediction."""
    predicted_vertices: int
    """Number of vertices measured to."""


def official_scores(h3ds_root: H3DS, scene_id: str, mesh: trimesh.Trimesh) -> OfficialScores:
    """Face and head score of a mesh in world millimetres, the same numbers to the last bit as `evaluate_scene`.

    Args:
        h3ds_root: the opened dataset.
        scene_id: one of its scenes.
        mesh: prediction in world mm; its vertices count, so they should lie `SCORED_SPACING_MM` apart or closer.
    """
    prediction = to_h3ds_mesh(mesh)
    # Its warning that alignment was skipped does not hold: our meshes are in the scan's world already. Both at once: it
    # spends its time in searches that keep one core busy and leave Python to others.
    with quiet(), ThreadPoolExecutor(2) as both:
        results = both.map(lambda region: h3ds_root.evaluate_scene(scene_id, prediction, region_id=region), REGIONS)
        (face, _, _, face_aligned), (head, _, _, head_aligned) = results
    face_scale, face_mirrored = _scale_between(prediction.vertices, face_aligned.vertices)
    head_scale, head_mirrored = _scale_between(prediction.vertices, head_aligned.vertices)
    return OfficialScores(
        face_mm=float(face.mean()),
        head_mm=float(head.mean()),
        face_icp_scale=face_scale,
        head_icp_scale=head_scale,
        mirrored=face_mirrored or head_mirrored,
        predicted_vertices=len(prediction.vertices),
    )


def to_h3ds_mesh(mesh: trimesh.Trimesh) -> Mesh:
    """The same vertices and faces as the kind of mesh `h3ds` takes."""
    converted = Mesh()
    converted.vertices = np.array(mesh.vertices, dtype=float)
    converted.faces = np.array(mesh.faces, dtype=int)
    return converted


def _scale_between(before: Float[np.ndarray, "n 3"], after: Float[np.ndarray, "n 3"]) -> tuple[float, bool]:
    """Scale of the similarity that moved `before` to `after`, and whether it mirrors.

    `evaluate_scene` does not return its transform, but it moves every vertex by the same one: least squares finds it.
    """
    step = max(1, len(before) // 10_000)
    source, target = before[::step], after[::step]
    linear, *_ = np.linalg.lstsq(source - source.mean(axis=0), target - target.mean(axis=0), rcond=None)
    determinant = float(np.linalg.det(linear))
    return float(np.cbrt(abs(determinant))), determinant < 0.0
