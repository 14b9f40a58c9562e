"""A score that keeps the size: rigid alignment, then point-to-surface distances in both directions (chamfer), in mm.

Alignment: robust point-to-plane ICP (`icp`) of the ground truth's region 'face' to the predicted surface, six degrees
of freedom, inverted to move the prediction. (Point-to-point ICP, as in the official score, converges slowly and stops
early where surfaces slide along each other. With plain ICP, a gap between hair and neck that the fit has filled turns
the whole head.) Face: ground-truth vertices of `FACE_REGION`, and predicted vertices within `FACE_RADIUS_MM` of the
ground truth's nose tip. Head: all vertices of both. Only the direction from prediction to ground truth sees floaters;
on the head it also counts surface that the scan lacks (the bottom of a closed bust).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import trimesh
from jaxtyping import Float, Int

from baseh3d_ns.data.h3ds_package import H3DS, Mesh
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.icp import align_rigidly
from baseh3d_ns.evaluation.protocol import ALIGNED_REGION, FACE_RADIUS_MM, FACE_REGION
from baseh3d_ns.evaluation.shown_face import shown_face


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
    """Completeness: sees surface that is missing or displaced."""
    pred_to_gt: DistanceSummary
    """Accuracy: sees surface that the ground truth does not have."""

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
    """Rotation angle of the alignment in degrees."""
    shift_mm: float
    """Distance in mm by which the alignment moved the tip of the nose."""
    pred_to_world: Float[np.ndarray, "4 4"]
    """Alignment: predicted world mm -> ground-truth world mm."""
    pred_to_gt_mm: Float[np.ndarray, " m"]
    """Distance of every predicted vertex to the ground-truth surface: the heat map."""
    shown_face: DistanceSummary | None = None
    """From the ground truth to the prediction, over the part of the face that photos can show (`shown_face`); None
    where no cameras are known."""


@dataclass(frozen=True)
class OneWay:
    """Distances from the ground truth to the prediction only: half of a score, in a quarter of the time."""

    truth: Mesh
    """The scan."""
    face: Int[np.ndarray, " f"]
    """Vertices of the scan in `FACE_REGION`."""
    world_to_pred: Float[np.ndarray, "4 4"]
    """Alignment: ground-truth world mm -> predicted world mm."""
    distances_mm: Float[np.ndarray, " n"]
    """Distance from every vertex of the scan to the predicted surface."""

    @property
    def means_mm(self) -> tuple[float, float]:
        """Means over face and head."""
        return float(self.distances_mm[self.face].mean()), float(self.distances_mm.mean())


def gt_to_pred(h3ds_root: H3DS, scene_id: str, mesh: trimesh.Trimesh) -> OneWay:
    """Distances from a scene of H3DS to a mesh in world millimetres, after the alignment of `rigid_scores`."""
    truth, surface = h3ds_root.load_mesh(scene_id), Surface(mesh)
    aligned_on = h3ds_root.load_region(scene_id, ALIGNED_REGION)
    face = h3ds_root.load_region(scene_id, FACE_REGION)
    world_to_pred = align_rigidly(truth.vertices[aligned_on], surface)
    distances_mm = surface.closest(trimesh.transform_points(truth.vertices, world_to_pred)).distances
    return OneWay(truth, face, world_to_pred, distances_mm)


def rigid_scores(h3ds_root: H3DS, scene_id: str, mesh: trimesh.Trimesh) -> RigidScores:
    """Score a mesh in world millimetres against a scene of H3DS, its scale kept.

    Raises:
        InputError: no predicted vertex is near the ground truth's face.
    """
    found = gt_to_pred(h3ds_root, scene_id, mesh)
    truth = found.truth
    nose_tip = truth.vertices[h3ds_root.load_landmarks(scene_id)["nose_tip"]]
    surface = Surface(trimesh.Trimesh(truth.vertices, truth.faces, process=False))
    scores = score_aligned(mesh, surface, found.distances_mm, found.face, nose_tip, found.world_to_pred)
    if scores is None:
        raise InputError(
            f"The mesh has no vertex within {FACE_RADIUS_MM:.0f} mm of the nose of scene {scene_id}; it must be in the "
            "scene's world frame and in millimetres."
        )
    shown = shown_face(h3ds_root, scene_id)
    return scores if shown is None else replace(scores, shown_face=DistanceSummary.of(found.distances_mm[shown]))


def score_aligned(
    mesh: trimesh.Trimesh,
    truth: Surface,
    gt_to_pred_mm: Float[np.ndarray, " n"],
    face: Int[np.ndarray, " f"],
    nose_tip: Float[np.ndarray, " 3"],
    world_to_pred: Float[np.ndarray, "4 4"],
) -> RigidScores | None:
    """Both directions of the score, once the alignment is known; None without a predicted vertex near the nose.

    Args:
        mesh: the prediction.
        truth: the ground truth's surface.
        gt_to_pred_mm: distances of points of the ground truth to the aligned prediction.
        face: numbers of the points on the face.
        nose_tip: tip of the nose on the ground truth.
        world_to_pred: the alignment, rigid.
    """
    pred_to_world = np.linalg.inv(world_to_pred)
    aligned = trimesh.transform_points(mesh.vertices, pred_to_world)
    near_face = np.linalg.norm(aligned - nose_tip, axis=1) <= FACE_RADIUS_MM
    if not near_face.any():
        return None
    pred_to_gt_mm = truth.closest(aligned).distances
    turn = np.clip((np.trace(pred_to_world[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)
    nose_before = trimesh.transform_points(nose_tip[None], world_to_pred)[0]
    return RigidScores(
        face=TwoWayDistances.of(gt_to_pred_mm[face], pred_to_gt_mm[near_face]),
        head=TwoWayDistances.of(gt_to_pred_mm, pred_to_gt_mm),
        rotation_deg=float(np.degrees(np.arccos(turn))),
        shift_mm=float(np.linalg.norm(nose_tip - nose_before)),
        pred_to_world=pred_to_world,
        pred_to_gt_mm=pred_to_gt_mm,
    )
