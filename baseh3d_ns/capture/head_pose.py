"""The head frame of cameras that were solved in any other world, from the landmarks of the faces they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.landmark_model import LandmarkModel, SeenHead, triangulate
from baseh3d_ns.capture.solved import moved
from baseh3d_ns.own_photos.faces import similarity_between
from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RIGHT_EYE

ROUNDS = 3
"""Rounds of triangulation and alignment: the bias of the landmarks depends on where the cameras stand."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """x' = scale * rotation x + offset."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    offset: Float[np.ndarray, " 3"]

    def points(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        return self.scale * points @ self.rotation.T + self.offset

    def camera(self, camera: Pinhole) -> Pinhole:
        return moved(camera, self.scale, self.rotation, self.offset)


def align(here: Float[np.ndarray, "n 3"], there: Float[np.ndarray, "n 3"]) -> Similarity:
    """Least-squares similarity from points to points (Umeyama 1991)."""
    return Similarity(*similarity_between(here, there))


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
        placed = SeenHead(tuple(change.camera(camera) for camera in cameras), pixels)
        head = triangulate(placed, model.bias_mm)
        again = align(head, model.mean_mm)
        change = Similarity(
            again.scale * change.scale,
            again.rotation @ change.rotation,
            again.scale * again.rotation @ change.offset + again.offset,
        )
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
