"""Whether cameras from structure from motion agree with the faces that their photos show.

Backgrounds and hair that look alike from several sides are matched with one another: the cameras then crowd on one side
of the head, with small reprojection errors. Rays through the landmarks of the face no longer meet then.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.own_photos.faces import POINTS, FaceRays, find_face_in_space

LEAST_AGREEING = 0.7
"""Share of the photos that show a face from ahead, whose rays have to meet."""
FEWEST = 3
"""Such photos from which on a disagreement means anything."""


def faces_agree(views: Sequence[SolvedView], points_px: Sequence[Float[np.ndarray, "468 2"] | None]) -> bool:
    """Whether the faces of most photos stand in one place in the world of the cameras.

    Args:
        views: photos with the cameras that were found.
        points_px: landmarks of the face in each whole photo; None where it shows none from ahead.
    """
    rays = [
        _face_rays(number, view, points)
        for number, (view, points) in enumerate(zip(views, points_px, strict=True))
        if view.camera is not None and points is not None
    ]
    if len(rays) < FEWEST:
        return True
    face = find_face_in_space(rays)
    return face is not None and len(face.shots) >= LEAST_AGREEING * len(rays)


def _face_rays(number: int, view: SolvedView, points_px: Float[np.ndarray, "468 2"]) -> FaceRays:
    """Rays through the landmarks that are triangulated."""
    camera = view.camera
    assert camera is not None
    chosen = points_px[list(POINTS.values())].astype(float)
    flat = cv2.undistortPoints(chosen[:, None], camera.intrinsics, view.distortion)[:, 0]
    rays = np.column_stack([flat, np.ones(len(flat))]) @ camera.rotation
    return FaceRays(number, camera.centre_mm, rays / np.linalg.norm(rays, axis=1, keepdims=True))
