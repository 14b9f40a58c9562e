"""Cameras that cannot belong to their photos: all on one spot, in the head, or looking elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame

ONE_SPOT = 0.01
"""Distance between cameras, in radii of the unit ball, below which they see no depth."""
MASK_SAMPLES = 2000
"""Pixels of a mask that are looked along, about."""


def check_sees_head(camera: Pinhole, mask: Bool[np.ndarray, "h w"], frame: SceneFrame, name: str) -> None:
    """Raise `InputError` unless a camera stands outside the unit ball and its mask shows some of the ball.

    Args:
        camera: the camera of a view.
        mask: silhouette of the head in it.
        frame: unit ball, which holds the head.
        name: file and matrix, for messages.
    """
    towards = np.asarray(frame.centre_mm) - camera.centre_mm
    distance_mm = float(np.linalg.norm(towards))
    if not distance_mm > frame.radius_mm:
        raise InputError(
            f"{name} puts its camera into the ball of scale_mat_0, {distance_mm:.0f} mm from the head's centre where "
            f"the ball has {frame.radius_mm:.0f}: correct the matrix, or its unit (world millimetres)"
        )
    if float(camera.rotation[2] @ towards) <= 0.0:
        raise InputError(f"{name} has the head behind its camera, or is mirrored: correct the matrix")
    pixels = np.argwhere(mask)[:: max(1, int(mask.sum()) // MASK_SAMPLES), ::-1].astype(float)
    along = camera.rays(pixels) @ towards
    off_mm = np.sqrt(np.maximum(distance_mm**2 - along**2, 0.0))
    if not ((along > 0.0) & (off_mm < frame.radius_mm)).any():
        raise InputError(
            f"{name} sees the head outside its photo or apart from its mask: correct the matrix, or give the view the "
            "photo and mask that belong to it"
        )


def check_apart(cameras: Sequence[Pinhole], views: Sequence[int], frame: SceneFrame, path: Path) -> None:
    """Raise `InputError` where several cameras stand on one spot, so that their photos show no depth.

    Args:
        cameras: cameras of the views.
        views: their numbers.
        frame: unit ball, for its size.
        path: cameras.npz, for messages.
    """
    centres = np.array([camera.centre_mm for camera in cameras])
    spread = float(np.linalg.norm(centres - centres[0], axis=1).max()) / frame.radius_mm
    if len(cameras) > 1 and spread < ONE_SPOT:
        raise InputError(
            f"{path}: the cameras of views {', '.join(map(str, views[:5]))}{' ...' if len(views) > 5 else ''} all "
            "stand on one spot, from where no depth can be seen: correct the matrices, or take views from elsewhere"
        )
