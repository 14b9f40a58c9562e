"""Size of a face by its landmarks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from baseh3d_ns.pretrained.landmark_model import LandmarkModel
from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RIGHT_EYE
from baseh3d_ns.similarity import align


def scale_factor(head_mm: Float[np.ndarray, "l 3"], model: LandmarkModel, pupils_mm: float | None) -> float:
    """Factor that gives a head its known distance between the pupils, or the size of the mean face."""
    if pupils_mm is not None:
        return pupils_mm / pupil_distance(head_mm)
    return align(head_mm, model.mean_mm).scale


def pupil_distance(head_mm: Float[np.ndarray, "l 3"]) -> float:
    """Distance between the middles of the eyes, where pupils are when one looks ahead, in the unit of the landmarks."""
    right, left = (head_mm[list(corners)].mean(axis=0) for corners in (RIGHT_EYE, LEFT_EYE))
    return float(np.linalg.norm(right - left))
