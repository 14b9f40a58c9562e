"""Views of a head as the methods take them: without distortion, cut to the ball, in upright millimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.dataset import resized
from baseh3d_ns.data.views import FEWEST_PX, Picture
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.head_frame import HeadFrame
from baseh3d_ns.own_photos.lens import resized_intrinsics
from baseh3d_ns.own_photos.looks import Look, full_trimap
from baseh3d_ns.own_photos.photo_sizes import read_counted
from baseh3d_ns.own_photos.shots import Cut, Shot

BALL_POINTS = 2000
"""Points on the ball by which its picture in a photo is found."""


@dataclass(frozen=True, eq=False)
class OwnView:
    """A photo of the head and its camera."""

    shot: Shot
    picture: Picture
    camera: Pinhole
    """In upright millimetres about the ball's centre."""


def view_of(look: Look, frame: HeadFrame, longest_px: int) -> OwnView:
    """View of a shot: undistorted, cut to what shows the ball, no larger than asked for, meaningless pixels unknown.

    Args:
        look: the shot and its silhouette.
        frame: frame of the head.
        longest_px: longer side of the picture, at most.

    Raises:
        InputError: the camera stands in the ball, or does not see the head.
    """
    shot = look.silhouette.shot
    ball = shot.in_camera(frame.centre + frame.radius * _sphere(BALL_POINTS))
    if not ball[:, 2].min() > 0.0:
        raise InputError(
            f"{shot.name} has its camera in the head or looking away from it: correct its matrix (camera to world, "
            "OpenGL axes), or leave the photo out"
        )
    window = shot.lens.window_of(ball)
    if window is None or min(window.width, window.height) < FEWEST_PX:
        raise InputError(f"{shot.name} does not show the head, by its camera: correct its matrix, or leave it out")
    photo = read_counted(shot.photo_path, shot.as_stored)
    picture, intrinsics = shot.lens.undistorted(photo, full_trimap(look), window)
    factor = min(1.0, longest_px / max(window.width, window.height))
    size = max(1, round(factor * window.width)), max(1, round(factor * window.height))
    intrinsics = resized_intrinsics(intrinsics, size[0] / window.width, size[1] / window.height)
    picture = _contiguous(resized(picture, size))
    rotation = shot.rotation @ frame.rotation.T
    centre_mm = frame.to_world_mm(shot.centre[None])[0]
    camera = Pinhole(intrinsics, rotation, -rotation @ centre_mm, *size)
    means = ~picture.mask | _may_show_head(camera, frame.radius_mm, frame.cut_mm)
    if not (picture.mask & picture.known & means).any():
        raise InputError(
            f"{shot.name} sees the head apart from its mask: give the photo and mask that belong to its camera, or "
            "leave the photo out"
        )
    return OwnView(shot, replace(picture, known=picture.known & means), camera)


def _may_show_head(camera: Pinhole, radius_mm: float, cut: Cut | None) -> Bool[np.ndarray, "h w"]:
    """Pixels whose rays meet the ball about the origin, and meet it above the cut only.

    What a ray shows that misses the ball, or leaves it through the cut, may be the neck or shoulders.
    """
    origin, directions = camera.centre_mm, camera.rays(camera.pixels())
    middle = -(directions @ origin)
    squared = radius_mm**2 - (origin @ origin - middle**2)
    shows = squared > 0.0
    if cut is not None:
        half = np.sqrt(np.maximum(squared, 0.0))
        for t in (middle - half, middle + half):
            shows &= (origin + t[:, None] * directions - cut.point) @ cut.normal > 0.0
    return shows.reshape(camera.height, camera.width)


def _sphere(count: int) -> Float[np.ndarray, "n 3"]:
    """Points spread evenly over the unit sphere, on a spiral."""
    index = np.arange(count) + 0.5
    height, turn = 1.0 - 2.0 * index / count, np.pi * (1.0 + 5.0**0.5) * index
    width = np.sqrt(1.0 - height**2)
    return np.column_stack([width * np.cos(turn), height, width * np.sin(turn)])


def _contiguous(picture: Picture) -> Picture:
    """A copy that holds no more than it shows."""
    return Picture(*(np.array(part, order="C") for part in (picture.photo, picture.mask, picture.known)))
