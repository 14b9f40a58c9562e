"""Reprojection errors of a reconstruction by structure from motion, and the photos that do not belong to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

FEW_AGREEING = 15
"""Features that must agree on the pose of a photo for it to count."""
AGREES_PX = 1.0
"""Reprojection error below which a feature agrees with a reconstruction, in pixels of the small photo."""
LEAST_AGREEING, USUAL_ERRORS = 0.6, 2.5
"""Share of a photo's features that must agree, to a pixel or so many times the usual error, if that is more. Of a
blurred photo that stands where it should, more do."""


def agreeing(model: Any) -> tuple[int, int]:
    """Number of photos that enough features hold, and of all features that lie where their points are projected."""
    counts = [int((errors_px(model, image) < AGREES_PX).sum()) for image in model.images.values() if image.has_pose]
    return sum(count >= FEW_AGREEING for count in counts), sum(counts)


def errors_px(model: Any, image: Any) -> Float[np.ndarray, " features"]:
    """Distances of an image's features from the projections of their points; infinite for points behind the camera."""
    behind = np.full(2, np.inf)
    seen = image.get_observation_points2D()
    projected = [image.project_point(model.points3D[point.point3D_id].xyz) for point in seen]
    offsets = [behind if spot is None else spot - point.xy for spot, point in zip(projected, seen, strict=True)]
    return np.linalg.norm(np.reshape(offsets, (-1, 2)), axis=1)


def odd_photos(model: Any) -> set[str]:
    """File names of photos that few features hold, or features that the others hardly agree with.

    A photo of another head finds a place too, since heads are alike, and a mirrored one, since a face is symmetric.
    """
    errors = {image.name: errors_px(model, image) for image in model.images.values() if image.has_pose}
    usual_px = float(np.median(np.concatenate([*errors.values()])))
    agree = {name: found < max(AGREES_PX, USUAL_ERRORS * usual_px) for name, found in errors.items()}
    odd = {
        name for name, features in agree.items() if features.sum() < max(FEW_AGREEING, LEAST_AGREEING * len(features))
    }
    return odd if 2 * len(odd) < len(errors) else set()  # of two halves, none is the odd one
