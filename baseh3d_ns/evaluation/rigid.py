"""A score that keeps the size: rigid alignment, then point-to-surface distances in both directions, in millimetres.

Alignment: point-to-point ICP (Besl and McKay 1992, `trimesh.registration.icp`) of the ground truth's region 'face' to
the predicted vertices, scale fixed at 1 and no mirroring, inverted to move the prediction. Face: ground-truth vertices
of 'face_sphere', and predicted vertices within 95 mm of the ground truth's nose tip. Head: all vertices of both. The
way from prediction to ground truth is what sees floaters; on the head it also counts what the scan does not have (the
bottom of a closed bust).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from h3ds.dataset import H3DS
from jaxtyping import Float

from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.official import FACE_REGION, numpy_int
from baseh3d_ns.evaluation.surface_distance import Surface

FACE_RADIUS_MM = 95.0
"""Radius of the H3DS region 'face_sphere' around the tip of the nose."""
ICP_ITERATIONS = 100
ICP_THRESHOLD = 1e-6


@dataclass(frozen=True)
class DistanceSummary:
    """Distances of many points to a surface."""

    points: int
    mean_mm: float
    median_mm: float
    p90_mm: float
    within_1mm: float
    """Share of the points, 0 to 1."""
    within_2mm: float
    within_5mm: float

    @classmethod
    def of(cls, distances_mm: Float[np.ndarray, " n"]) -> DistanceSummary:
        """Summarise at least one distance."""
        return cls(
            points=len(distances_mm),
            mean_mm=float(distances_mm.mean()),
            median_mm=float(np.median(distances_mm)),
            p90_mm=float(np.percentile(distances_mm, 90)),
            within_1mm=float((distances_mm <= 1.0).mean()),
            within_2mm=float((distances_mm <= 2.0).mean()),
            within_5mm=float((distances_mm <= 5.0).mean()),
        )


@dataclass(frozen=True)
class TwoWayDistances:
    """Both directions between a ground truth and a prediction."""

    mean_mm: float
    """Mean of the two directions' means."""
    gt_to_pred: DistanceSummary
    """Accuracy where the ground truth is: what is missing or displaced."""
    pred_to_gt: DistanceSummary
    """What the prediction has and the ground truth has not."""

    @classmethod
    def of(cls, gt_to_pred_mm: Float[np.ndarray, " n"], pred_to_gt_mm: Float[np.ndarray, " m"]) -> TwoWayDistances:
        """Summarise both directions."""
        forth, back = DistanceSummary.of(gt_to_pred_mm), DistanceSummary.of(pred_to_gt_mm)
        return cls(mean_mm=(forth.mean_mm + back.mean_mm) / 2.0, gt_to_pred=forth, pred_to_gt=back)


@dataclass(frozen=True)
class RigidScores:
    """Scores of one prediction after a rigid alignment."""

    face: TwoWayDistances
    head: TwoWayDistances
    rotation_deg: float
    """How far the alignment turned the prediction."""
    shift_mm: float
    """How far the alignment moved the tip of the nose."""
    pred_to_world: Float[np.ndarray, "4 4"]
    """The alignment: predicted world mm -> ground-truth world mm."""
    pred_to_gt_mm: Float[np.ndarray, " m"]
    """Distance of every predicted vertex to the ground-truth surface: the heat map."""


def rigid_scores(h3ds_root: H3DS, scene_id: str, mesh: trimesh.Trimesh) -> RigidScores:
    """Score a mesh in world millimetres against a scene of H3DS without giving its scale away.

    Raises:
        InputError: no predicted vertex is near the ground truth's face.
    """
    truth = h3ds_root.load_mesh(scene_id)
    nose_tip = truth.vertices[h3ds_root.load_landmarks(scene_id)["nose_tip"]]
    with numpy_int():
        face_region = h3ds_root.load_region(scene_id, "face")
        scored_region = h3ds_root.load_region(scene_id, FACE_REGION)

    pred_to_world = align_rigidly(mesh.vertices.view(np.ndarray), truth.vertices[face_region])
    aligned = trimesh.Trimesh(trimesh.transform_points(mesh.vertices, pred_to_world), mesh.faces, process=False)
    near_face = np.linalg.norm(aligned.vertices - nose_tip, axis=1) <= FACE_RADIUS_MM
    if not near_face.any():
        raise InputError(
            f"The mesh has no vertex within {FACE_RADIUS_MM:.0f} mm of the nose of scene {scene_id}; it must be in the "
            "scene's world frame and in millimetres."
        )
    truth_surface = Surface(trimesh.Trimesh(truth.vertices, truth.faces, process=False))
    gt_to_pred_mm = Surface(aligned).distances(truth.vertices)
    pred_to_gt_mm = truth_surface.distances(aligned.vertices.view(np.ndarray))
    turn = np.clip((np.trace(pred_to_world[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)
    nose_before = trimesh.transform_points(nose_tip[None], np.linalg.inv(pred_to_world))[0]
    return RigidScores(
        face=TwoWayDistances.of(gt_to_pred_mm[scored_region], pred_to_gt_mm[near_face]),
        head=TwoWayDistances.of(gt_to_pred_mm, pred_to_gt_mm),
        rotation_deg=float(np.degrees(np.arccos(turn))),
        shift_mm=float(np.linalg.norm(nose_tip - nose_before)),
        pred_to_world=pred_to_world,
        pred_to_gt_mm=pred_to_gt_mm,
    )


def align_rigidly(
    predicted: Float[np.ndarray, "m 3"], truth_face: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "4 4"]:
    """The rotation and translation (no scale, no mirroring) that moves the prediction onto the true face."""
    truth_to_pred, _, _ = trimesh.registration.icp(
        truth_face,
        predicted,
        threshold=ICP_THRESHOLD,
        max_iterations=ICP_ITERATIONS,
        reflection=False,
        scale=False,
    )
    return np.linalg.inv(truth_to_pred)
