"""The head frame of cameras that were solved in any other world, from the landmarks of the faces they see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.solved import moved
from baseh3d_ns.pretrained.landmark_model import LandmarkModel, SeenHead, triangulate
from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RIGHT_EYE
from baseh3d_ns.similarity import Similarity, align

ROUNDS = 3
"""Rounds of triangulation and alignment: the bias of the landmarks depends on where the cameras stand."""


def to_head_frame(
    cameras: Sequence[Pinhole], points_px: Sequence[Float[np.ndarray, "l 2"]], model: LandmarkModel
) -> tuple[Similarity, Float[np.ndarray, "l 3"]]:
    """Similarity to the head frame, where the face is as large as the mean one, and the landmarks there.

    Args:
        cameras: two at least that see a face.
        points_px: the landmarks in their photos, without lens distortion.
        model: for the mean face and the landmarks' bias.
    """
    pixels = np.stack(points_px)
    change = align(triangulate(SeenHead(tuple(cameras), pixels), np.zeros_like(model.bias_mm)), model.mean_mm)
    for _ in range(ROUNDS):
        placed = SeenHead(tuple(_in_world(camera, change) for camera in cameras), pixels)
        head = triangulate(placed, model.bias_mm)
        again = align(head, model.mean_mm)
        change = again.after(change)
    return change, again.points(head)


def scale_factor(head_mm: Float[np.ndarray, "l 3"], model: LandmarkModel, pupils_mm: float | None) -> float:
    """Factor that gives a head its known distance between the pupils, or the size of the mean face."""
    if pupils_mm is not None:
        return pupils_mm / pupil_distance(head_mm)
    return align(head_mm, model.mean_mm).scale


def pupil_distance(head_mm: Float[np.ndarray, "l 3"]) -> float:
    """Distance between the middles of the eyes, where pupils are when one looks ahead, in the unit of the landmarks."""
    right, left = (head_mm[list(corners)].mean(axis=0) for corners in (RIGHT_EYE, LEFT_EYE))
    return float(np.linalg.norm(right - left))


def _in_world(camera: Pinhole, change: Similarity) -> Pinhole:
    return moved(camera, change.scale, change.rotation, change.offset)
