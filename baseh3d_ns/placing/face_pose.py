"""Similarity from a unit frame to the head frame, from landmarks in photos with known cameras.

1. Pose of the mean face in every photo by PnP (SQPnP, Terzakis and Lourakis 2020), as large as the average adult's.
2. The pose that most photos agree with; photos whose landmarks lie elsewhere are left out (another person's face, a
   wrong find).
3. Least squares over similarity and shape of the face with soft L1 loss, in standard deviations of the landmark model.
   The unit ball is about as large as is known and stands about the head: one photo alone takes a small face nearby for
   a large one far away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.placing.config import LandmarkConfig
from baseh3d_ns.placing.photo_faces import PhotoFaces
from baseh3d_ns.pretrained.landmark_model import CORRELATION, LandmarkModel, soft_l1
from baseh3d_ns.similarity import Similarity

SHAPES = 12
"""Shape components that are fitted."""
SOFTNESS = 1.0
"""Distance in standard deviations beyond which the loss grows linearly."""
AGREES_MM = 60.0
"""Median distance from the rays to the landmarks of the face in another photo up to which the two show one face: by
one photo the distance of a face is known to some centimetres only."""


@dataclass(frozen=True, eq=False)
class FacePose:
    """A face as the photos show it."""

    to_head: Similarity
    """From the photos' unit frame to the head frame in millimetres."""
    head_mm: Float[np.ndarray, "l 3"]
    """Landmarks of this person in the head frame."""
    faces: PhotoFaces
    """Faces in the photos that agree."""


def find_face_pose(
    faces: PhotoFaces, model: LandmarkModel, ball: SceneFrame, settings: LandmarkConfig
) -> FacePose | None:
    """Similarity and shape that explain the landmarks best; None where no photo shows a face.

    Args:
        faces: rays through the landmarks.
        model: places of the landmarks on heads.
        ball: where the photos' unit ball is expected in the head frame, and how large, as far as it is known.
        settings: standard deviations of its size and centre.
    """
    poses = list(_poses_by_photo(faces, model, ball.radius_mm))
    if not poses:
        return None
    agreeing = [_agreeing(faces, model, pose) for pose in poses]
    best = int(np.argmax([agrees.sum() for agrees in agreeing]))
    kept = faces.of(agreeing[best]) if agreeing[best].any() else faces
    shapes = min(SHAPES, len(model.shapes_mm))
    start = poses[best]
    first = Rotation.from_matrix(start.rotation)

    def split(unknowns: Float[np.ndarray, " n"]) -> tuple[Similarity, Float[np.ndarray, "l 3"]]:
        rotation = (Rotation.from_rotvec(unknowns[1:4]) * first).as_matrix()
        shape = np.zeros(len(model.shapes_mm))
        shape[:shapes] = unknowns[7:]
        return Similarity(float(np.exp(unknowns[0])), rotation, 100.0 * unknowns[4:7]), model.head(shape)

    def residuals(unknowns: Float[np.ndarray, " n"]) -> Float[np.ndarray, " r"]:
        pose, head_mm = split(unknowns)
        # In mm of the photos' world: in those of the head frame, a smaller head would always err less.
        larger = ball.radius_mm / pose.scale
        across = [
            soft_l1(larger * offset / sd_mm[:, None], SOFTNESS)
            for offset, sd_mm in _offsets(kept, model, pose, head_mm)
        ]
        size = (unknowns[0] - np.log(ball.radius_mm)) / settings.size_sd
        centre = (pose.offset - ball.centre_mm) / settings.centre_sd_mm
        return np.concatenate([np.ravel(across), [size], centre, unknowns[7:]])

    unknowns = np.concatenate([[np.log(start.scale)], np.zeros(3), start.offset / 100.0, np.zeros(shapes)])
    return FacePose(*split(least_squares(residuals, unknowns, x_scale="jac", max_nfev=50, ftol=1e-5).x), kept)


def _poses_by_photo(faces: PhotoFaces, model: LandmarkModel, scale: float) -> Iterator[Similarity]:
    """Similarity by every photo alone, of the expected scale."""
    for origin, directions in zip(faces.origins, faces.directions, strict=True):
        camera = _looking_at(directions.mean(axis=0))
        flat = directions @ camera.T
        found, rotation, translation = cv2.solvePnP(
            model.mean_mm, flat[:, :2] / flat[:, 2:], np.eye(3), np.zeros(4), flags=cv2.SOLVEPNP_SQPNP
        )
        if found:
            to_head = cv2.Rodrigues(rotation)[0].T @ camera
            centre_mm = -cv2.Rodrigues(rotation)[0].T @ translation.ravel()
            yield Similarity(scale, to_head, centre_mm - scale * to_head @ origin)


def _looking_at(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation to the axes of a camera that looks along a direction (OpenCV axes, any roll)."""
    ahead = direction / np.linalg.norm(direction)
    right = np.cross(np.eye(3)[np.abs(ahead).argmin()], ahead)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead])


def _agreeing(faces: PhotoFaces, model: LandmarkModel, pose: Similarity) -> Bool[np.ndarray, " v"]:
    """Photos whose landmarks lie where a pose of the mean face has them."""
    found = [np.linalg.norm(offset, axis=1) for offset, _ in _offsets(faces, model, pose, model.mean_mm)]
    return np.array([np.median(distance_mm) < AGREES_MM for distance_mm in found], dtype=bool)


def _offsets(
    faces: PhotoFaces, model: LandmarkModel, pose: Similarity, head_mm: Float[np.ndarray, "l 3"]
) -> Iterator[tuple[Float[np.ndarray, "l 3"], Float[np.ndarray, " l"]]]:
    """Offsets in mm from the rays of every photo to the landmarks that it is expected to see, and their deviations."""
    expected = expected_landmarks(faces, model, pose, head_mm)
    for origin, directions, (points_mm, sd_mm) in zip(faces.origins, faces.directions, expected, strict=True):
        away, ahead = points_mm - pose.points(origin), directions @ pose.rotation.T
        yield away - (away * ahead).sum(axis=1, keepdims=True) * ahead, sd_mm


def expected_landmarks(
    faces: PhotoFaces, model: LandmarkModel, pose: Similarity, head_mm: Float[np.ndarray, "l 3"]
) -> Iterator[tuple[Float[np.ndarray, "l 3"], Float[np.ndarray, " l"]]]:
    """Places in the head frame where the detector is expected to see the landmarks in every photo, in mm, and their
    standard deviations across the ray, with those of neighbours that err alike."""
    none = np.zeros(len(model.errors_mm))
    errors_mm = np.sqrt((model.errors_mm**2).sum(axis=(0, 2)) / 2.0)
    for origin in faces.origins:
        centre_mm = pose.points(origin)
        sd_mm = CORRELATION * np.hypot(model.noise(centre_mm), errors_mm)
        yield model.seen(head_mm, centre_mm, none), sd_mm
