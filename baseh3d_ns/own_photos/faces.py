"""Face landmarks of several photos, triangulated, and the similarity that brings them to the average adult's.

Detectors place a landmark to some millimetres in a frontal photo and put it anywhere in a profile. So first a pair of
views is looked for whose points most other views agree with, then all points are refined by iteratively reweighted
least squares with Geman and McClure's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.frames import LANDMARKS_MM
from baseh3d_ns.similarity import Similarity, align

POINTS = {
    "right_eye": 133,
    "left_eye": 362,
    "nose_tip": 1,
    "nose_base": 2,
    "right_lips": 61,
    "left_lips": 291,
    "right_eye_outer": 33,
    "left_eye_outer": 263,
    "chin": 152,
}
"""Landmarks of the 468 points of the face mesh that are triangulated: the six of H3DS first."""
MOST_PAIRS = 400
"""Pairs of views that are tried."""
LEAST_ANGLE_DEG = 3.0
"""Angle between the rays of two views below which their points have no depth."""
AGREES = 0.12
"""Mean distance from a view's rays to the points, in distances between the outer corners of the eyes, up to which the
view agrees."""
SIGMA = 0.04
"""Scale of the weights of the refinement, in the same unit."""
ROUNDS = 12
WORST_RMS_MM = 12.0
"""Distance (RMS) of triangulated landmarks from the average adult's beyond which they are no face."""


@dataclass(frozen=True, eq=False)
class FaceRays:
    """Rays through the landmarks of a photo, in the file's world."""

    shot: int
    origin: Float[np.ndarray, " 3"]
    directions: Float[np.ndarray, "9 3"]
    """Unit directions, in the order of `POINTS`."""


@dataclass(frozen=True, eq=False)
class Face:
    """Triangulated landmarks."""

    points: Float[np.ndarray, "9 3"]
    """Landmarks in the order of `POINTS`, in the file's world and unit."""
    shots: tuple[int, ...]
    """Shots that agree with them."""
    to_average: Similarity
    """From the file's world to `HEAD_FRAME`'s world (+y up, +z ahead), in mm of the average adult."""
    rms_mm: float
    """Distance (RMS) of the landmarks from the average adult's, once brought there."""
    iris: float | None = None
    """Diameter of the irises in the file's unit; None where it was not measured."""

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from the file's world to an upright head's axes."""
        return self.to_average.rotation

    @property
    def mm_per_unit(self) -> float:
        """Millimetres in the file's unit, if this face is as large as the average adult's."""
        return self.to_average.scale

    def in_average(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the file's world in `HEAD_FRAME`'s world, in mm of the average adult."""
        return self.to_average.points(points)

    def from_average(self, points_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Inverse of `in_average`."""
        return self.to_average.inverse().points(points_mm)

    @property
    def eyes(self) -> Float[np.ndarray, "2 3"]:
        """Centres of the right and left eye, each halfway between its corners, in the file's world."""
        inner, outer = self.points[[0, 1]], self.points[[6, 7]]
        return 0.5 * (inner + outer)

    @property
    def pupil_distance(self) -> float:
        """Distance between the eyes' centres in the file's unit."""
        right, left = self.eyes
        return float(np.linalg.norm(left - right))


def find_face_in_space(rays: Sequence[FaceRays]) -> Face | None:
    """The face that most views agree on; None where no two do."""
    origins, directions = np.array([one.origin for one in rays]), np.array([one.directions for one in rays])
    agreeing, most = None, (1, 0.0)
    for pair in _pairs(len(rays)):
        chosen = np.isin(np.arange(len(rays)), pair)
        if _angle_deg(directions[chosen]) < LEAST_ANGLE_DEG:
            continue
        points = intersection(origins[chosen], directions[chosen])
        off = _off(origins, directions, points)
        agrees = off < AGREES
        score = (int(agrees.sum()), -float(off[agrees].sum()))
        if chosen[agrees].sum() == 2 and score > most:
            agreeing, most = agrees, score
    return None if agreeing is None else _face(rays, origins, directions, agreeing)


def _face(
    rays: Sequence[FaceRays],
    origins: Float[np.ndarray, "v 3"],
    directions: Float[np.ndarray, "v p 3"],
    agrees: Bool[np.ndarray, " v"],
) -> Face | None:
    points = intersection(origins[agrees], directions[agrees])
    for _ in range(ROUNDS):
        off = _distances(origins[agrees], directions[agrees], points) / _eyes(points)
        points = intersection(origins[agrees], directions[agrees], 1.0 / (1.0 + (off / SIGMA) ** 2) ** 2)
        agrees = _off(origins, directions, points) < AGREES
        if agrees.sum() < 2:
            return None
    face = face_of(points, tuple(one.shot for one, does in zip(rays, agrees, strict=True) if does))
    seen_from_ahead = ((origins[agrees] - points[2]) @ face.rotation[2]).mean() > 0.0
    return face if face.rms_mm <= WORST_RMS_MM and seen_from_ahead else None


def face_of(points: Float[np.ndarray, "9 3"], shots: tuple[int, ...]) -> Face:
    """The face of some landmarks, in the order of `POINTS`, with the numbers of the shots that agree with them."""
    average = np.array(list(LANDMARKS_MM.values()))
    found = align(points[: len(average)], average)
    brought = found.points(points[: len(average)])
    return Face(points, shots, found, float(np.sqrt(((brought - average) ** 2).sum(axis=1).mean())))


def intersection(
    origins: Float[np.ndarray, "v 3"],
    directions: Float[np.ndarray, "v p 3"],
    weights: Float[np.ndarray, "v p"] | None = None,
) -> Float[np.ndarray, "p 3"]:
    """Points of least weighted squared distance to their rays; a ray of each view for every point."""
    middle = origins.mean(axis=0)  # surveyors' coordinates are millions of metres from their origin
    across = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    if weights is not None:
        across = across * weights[..., None, None]
    normal, right = across.sum(axis=0), np.einsum("vpij,vj->pi", across, origins - middle)
    return middle + np.linalg.solve(normal + 1e-12 * np.eye(3), right[..., None])[..., 0]


def _pairs(count: int) -> list[tuple[int, int]]:
    """All pairs of views, or so many of them, evenly chosen."""
    pairs = list(combinations(range(count), 2))
    return pairs if len(pairs) <= MOST_PAIRS else pairs[:: -(-len(pairs) // MOST_PAIRS)]


def _angle_deg(directions: Float[np.ndarray, "2 p 3"]) -> float:
    return float(np.degrees(np.arccos(np.clip((directions[0] * directions[1]).sum(axis=1), -1.0, 1.0)).mean()))


def _eyes(points: Float[np.ndarray, "p 3"]) -> float:
    """Distance between the outer corners of the eyes."""
    return max(1e-12, float(np.linalg.norm(points[6] - points[7])))


def _distances(
    origins: Float[np.ndarray, "v 3"], directions: Float[np.ndarray, "v p 3"], points: Float[np.ndarray, "p 3"]
) -> Float[np.ndarray, "v p"]:
    """Distances of points to their rays; infinite behind the camera."""
    offset = points - origins[:, None]
    along = (offset * directions).sum(axis=-1)
    across = np.linalg.norm(offset - along[..., None] * directions, axis=-1)
    return np.where(along > 0.0, across, np.inf)


def _off(
    origins: Float[np.ndarray, "v 3"], directions: Float[np.ndarray, "v p 3"], points: Float[np.ndarray, "p 3"]
) -> Float[np.ndarray, " v"]:
    """Mean distance of the points to each view's rays, in distances between the outer corners of the eyes."""
    return _distances(origins, directions, points).mean(axis=1) / _eyes(points)
