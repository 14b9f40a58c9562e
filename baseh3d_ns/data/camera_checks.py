"""Cameras that cannot belong to their photos: all on one spot, in the head, looking elsewhere, or of other photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.head_size import unit_mistake
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame

ONE_SPOT = 0.01
"""Distance between cameras, in radii of the unit ball, below which they see no depth."""
LEAST_IN_BALL = 0.5
"""Share of a silhouette that has to look at the unit ball, which holds the head."""
PIXEL_SHAPES = (0.5, 2.0)
"""Ratios of the two focal lengths (in pixels) that a camera may have: pixels are about square."""
RADIUS_RANGE_MM = (40.0, 2000.0)
"""Radii of a unit ball around a head, or a person, in millimetres."""
PHOTO_SCALES = (0.25, 1 / 3, 0.5, 2.0, 3.0, 4.0)
"""Factors by which people make photos smaller or larger, and forget the cameras."""
SAME_SCALE = 0.15
"""Relative difference of principal points from where a factor would put them, within which it is taken for one."""
MASK_SAMPLES = 2000
"""Pixels of a mask that are looked along, about."""


def check_sees_head(camera: Pinhole, mask: Bool[np.ndarray, "h w"], frame: SceneFrame, name: str) -> None:
    """Raise `InputError` unless a camera stands outside the unit ball and most of its mask shows the ball.

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
    focal_x, focal_y = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    if not PIXEL_SHAPES[0] <= focal_x / focal_y <= PIXEL_SHAPES[1]:
        raise InputError(
            f"{name} has focal lengths of {focal_x:.4g} and {focal_y:.4g} pixels, but pixels are about square: "
            "correct the matrix"
        )
    pixels = np.argwhere(mask)[:: max(1, int(mask.sum()) // MASK_SAMPLES), ::-1].astype(float)
    along = camera.rays(pixels) @ towards
    off_mm = np.sqrt(np.maximum(distance_mm**2 - along**2, 0.0))
    if ((along > 0.0) & (off_mm < frame.radius_mm)).mean() < LEAST_IN_BALL:
        raise InputError(
            f"{name} sees the head outside its photo or apart from its mask: correct the matrix, or give the view the "
            "photo and mask that belong to it"
        )


def check_millimetres(frame: SceneFrame, path: Path) -> None:
    """Raise `InputError` unless the unit ball has the size of one around a head; `path` is for messages."""
    if RADIUS_RANGE_MM[0] <= frame.radius_mm <= RADIUS_RANGE_MM[1]:
        return
    mistake = unit_mistake(2.0 * frame.radius_mm)
    raise InputError(
        f"{path}: the ball of scale_mat_0 has a radius of {frame.radius_mm:.4g}, which is none around a head in "
        "millimetres; " + (f"{mistake}, in every matrix and in the scan" if mistake else "correct that matrix")
    )


def check_principal_points(cameras: Sequence[Pinhole], path: Path) -> None:
    """Raise `InputError` where the principal points of all views say that the photos were scaled and the cameras not.

    Args:
        cameras: cameras of the views, with the sizes of their photos.
        path: cameras.npz, for messages.
    """
    centres = [camera.intrinsics[:2, 2] / (camera.width, camera.height) for camera in cameras]
    for scale in PHOTO_SCALES:
        if np.all(np.abs(2.0 * np.array(centres) / scale - 1.0) < SAME_SCALE):
            raise InputError(
                f"{path} is of photos {scale:.3g} times as wide and high as these, by the principal points of all "
                f"{len(cameras)} views: take the photos in that size, or divide the first two rows of every world_mat "
                f"by {scale:.3g}; to train on smaller photos, pass --downscale"
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
