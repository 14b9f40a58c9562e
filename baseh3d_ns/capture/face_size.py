"""Size of a face by its landmarks and irises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from baseh3d_ns.capture.photos import Photo, resized
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.own_photos.iris_size import SeenFace, iris_diameter
from baseh3d_ns.own_photos.metric_scale import PUPILS_PERCENT, MetricScale, by_face, by_pupils
from baseh3d_ns.pretrained.landmark_model import LandmarkModel
from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RIGHT_EYE, FaceLandmarks
from baseh3d_ns.similarity import align


def average_scale(head_mm: Float[np.ndarray, "l 3"], model: LandmarkModel) -> float:
    """Factor that gives a head the size of the mean face."""
    return align(head_mm, model.mean_mm).scale


def scale_by_pupils(head_mm: Float[np.ndarray, "l 3"], pupils_mm: float) -> MetricScale:
    """Scale that gives a head its known distance between the pupils."""
    return MetricScale(pupils_mm / pupil_distance(head_mm), by_pupils(pupils_mm), PUPILS_PERCENT)


def scale_by_face(
    head_mm: Float[np.ndarray, "l 3"],
    model: LandmarkModel,
    photos: Sequence[Photo],
    faces: Sequence[Sequence[FaceLandmarks]],
    views: Sequence[SolvedView],
) -> MetricScale:
    """Scale that gives a head the size of the mean face, and irises of the usual width where photos show them.

    Args:
        head_mm: landmarks in the cameras' world.
        model: the mean face.
        photos: photos of the head.
        faces: the faces of each, that of the head first.
        views: the camera of each, in the head frame but for its unit.
    """
    eyes, ahead, seen = _eyes(head_mm), np.array([0.0, 0.0, 1.0]), []
    for photo, found, view in zip(photos, faces, views, strict=True):
        if found and view.camera is not None:
            height, width = photo.rgb.shape[:2]
            camera = resized(view.camera, width, height)
            focal_px = float(camera.intrinsics[0, 0])
            seen.append(SeenFace(photo.rgb, found[0], eyes, ahead, camera.centre_mm, camera.rotation[2], focal_px))
    return by_face(average_scale(head_mm, model), iris_diameter(seen))


def pupil_distance(head_mm: Float[np.ndarray, "l 3"]) -> float:
    """Distance between the middles of the eyes in the unit of the landmarks."""
    right, left = _eyes(head_mm)
    return float(np.linalg.norm(left - right))


def _eyes(head_mm: Float[np.ndarray, "l 3"]) -> Float[np.ndarray, "2 3"]:
    """Middles of the right and left eye, where pupils are when one looks ahead."""
    return np.stack([head_mm[list(corners)].mean(axis=0) for corners in (RIGHT_EYE, LEFT_EYE)])
