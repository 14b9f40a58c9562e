"""Photographs with cameras, as another program left them: poses in that program's world, nothing decoded yet."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

import numpy as np
from jaxtyping import Float

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import OPENCV_TO_OPENGL, PIXEL_CENTRE
from baseh3d_ns.own_photos.lens import Lens

RIGID = 1e-2
"""Largest entry of R^T R - 1 for which a matrix is taken for a rotation, written with few digits."""
ONE_SPOT = 1e-9
"""Distance between cameras, in the largest coordinate, that is none: more than rounding, less than a step in metres
from the equator, as surveyors count."""
LARGEST = 1e9
"""Coordinates beyond this are damaged."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A photo and its camera, in the world of the file that they come from."""

    name: str
    """Path of the photo as the file gives it, unique among the shots."""
    photo_path: Path
    mask_path: Path | None
    lens: Lens
    """Intrinsics in pixels as the camera counts them (see `as_stored`)."""
    as_stored: bool
    """Whether the camera counts the pixels of a photo with an EXIF orientation as they are stored, not as shown."""
    rotation: Float[np.ndarray, "3 3"]
    """World to camera, OpenCV axes (x right, y down, z forward)."""
    centre: Float[np.ndarray, " 3"]
    """Camera centre in the file's world and unit."""
    mask_as_stored: bool | None = None
    """Whether the mask is of the stored pixels, not of those shown; None where its size or orientation says it (see
    `mask_turns`)."""
    mask_guessed: bool = False
    """Whether networks made the mask, in an earlier capture."""

    def in_camera(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the file's world in the camera's axes."""
        return (points - self.centre) @ self.rotation.T

    def directions(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
        """Unit directions in the file's world of the rays through pixel coordinates."""
        flat = self.lens.normalised(pixels)
        rays = np.column_stack([flat, np.ones(len(flat))]) @ self.rotation
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def spellings(name: str) -> list[str]:
    """A file's name and its other spellings: slashes for the backslashes of Windows, accents in one character with
    their letter (NFC) or behind it (NFD, as Macs write them)."""
    slashed = (name, name.replace("\\", "/"))
    forms = ([one, *(unicodedata.normalize(form, one) for form in ("NFC", "NFD"))] for one in slashed)
    return list(dict.fromkeys(spelling for spelled in forms for spelling in spelled))


@dataclass(frozen=True)
class Cut:
    """Plane through the neck or the shoulders, in some world; what lies on the other side is no part of the head."""

    point: Float[np.ndarray, " 3"]
    normal: Float[np.ndarray, " 3"]
    """Unit normal, towards the head."""


@dataclass(frozen=True)
class GivenFrame:
    """Parts of the head's frame that come with the cameras, in the file's world; None where they do not."""

    ball: tuple[Float[np.ndarray, " 3"], float] | None = None
    """Centre and radius of the ball that holds the head."""
    up: Float[np.ndarray, " 3"] | None = None
    ahead: Float[np.ndarray, " 3"] | None = None
    """Direction in which the face looks."""
    ears: Float[np.ndarray, " 3"] | None = None
    """Middle between the ears, the origin of an upright head's frame."""
    mm_per_unit: float | None = None
    scale_source: str = ""
    """Source of `mm_per_unit`, in words."""
    scale_uncertainty_percent: float = 0.0
    cut: Cut | None = None
    cut_decided: bool = False
    """Whether the file says where the cut is, or that there is none."""


@dataclass(frozen=True, eq=False)
class Capture:
    """All shots of a head."""

    path: Path
    """File or folder that the cameras come from."""
    shots: tuple[Shot, ...]
    splits: dict[str, list[int]] = field(default_factory=dict)
    """Numbers of the shots of nerfstudio's splits (train, val, test), where the file names them."""
    to_original: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """Similarity from the file's world to that of the program before it (nerfstudio's `applied_transform`, scale)."""
    metres_by: str = ""
    """Program by whose contract the file's unit is a metre; empty where the unit is open."""
    given: GivenFrame = GivenFrame()


def pose_of(matrix: object, name: str) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Rotation (world to camera, OpenCV axes) and centre of a camera-to-world matrix with OpenGL axes.

    Args:
        matrix: 4x4 or 3x4, as read.
        name: file and photo, for messages.

    Raises:
        InputError: no such matrix, not finite, or not rigid.
    """
    try:
        values = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} has a transform_matrix that is no table of numbers: write 4 rows of 4") from error
    if values.shape not in ((4, 4), (3, 4)):
        raise InputError(f"{name} has a transform_matrix of shape {values.shape}: write 4 rows of 4 numbers")
    if not np.isfinite(values).all() or np.abs(values).max() > LARGEST:
        raise InputError(f"{name} has a transform_matrix with NaN or endless numbers: estimate that camera again")
    turn = values[:3, :3]
    if np.abs(turn.T @ turn - np.eye(3)).max() > RIGID or np.linalg.det(turn) < 0.0:
        raise InputError(
            f"{name} has a transform_matrix that is not rigid (a rotation and a translation): write camera-to-world "
            "matrices without scale, shear or mirroring"
        )
    left, _, right = np.linalg.svd(turn)
    return OPENCV_TO_OPENGL @ (left @ right).T, values[:3, 3]


def lens_of(
    focal: tuple[float, float],
    principal: tuple[float, float],
    size: tuple[int, int],
    distortion: Sequence[float],
    name: str,
) -> Lens:
    """Lens of numbers as nerfstudio and COLMAP give them, with pixel centres at +0.5.

    Args:
        distortion: `lens.COEFFICIENTS`.
        name: file and photo, for messages.

    Raises:
        InputError: a number is not finite, a focal length not positive, or the distortion cannot be undone.
    """
    numbers = np.array([*focal, *principal, *distortion], dtype=np.float64)
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > LARGEST:
        raise InputError(f"{name} has intrinsics with NaN or endless numbers: calibrate the camera again")
    longer = max(size)
    if not all(0.05 * longer < one < 100.0 * longer for one in focal):
        raise InputError(
            f"{name} has focal lengths of {focal[0]:g} and {focal[1]:g} pixels, which no lens has for a photo of "
            f"{size[0]}x{size[1]}: give fl_x and fl_y in pixels"
        )
    if not all(-longer < one < 2 * longer for one in principal):
        raise InputError(f"{name} has its principal point far outside the photo: give cx and cy in pixels")
    intrinsics = np.array(
        [[focal[0], 0, principal[0] - PIXEL_CENTRE], [0, focal[1], principal[1] - PIXEL_CENTRE], [0, 0, 1.0]]
    )
    lens = Lens(intrinsics, numbers[4:], *size)
    lens.check(name)
    return lens


def check_shots(path: Path, shots: Sequence[Shot]) -> None:
    """Raise `InputError` where there are no shots, two share a photo, or all were taken from one spot.

    Args:
        path: file of the cameras, for messages.
    """
    if not shots:
        raise InputError(f"{path} lists no photo: let the program that made it export its cameras again")
    names = [shot.name for shot in shots]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path} lists {twice} twice: keep one camera a photo")
    centres = np.array([shot.centre for shot in shots])
    spread = float(np.ptp(centres, axis=0).max())
    if len(shots) > 1 and not spread > ONE_SPOT * max(1e-6, float(np.abs(centres).max())):
        raise InputError(
            f"{path}: all {len(shots)} cameras stand on one spot, from where no depth can be seen: take photos from "
            "several sides, and let a program find their cameras"
        )


def positive(value: object) -> TypeGuard[int | float]:
    """Whether a value read from a file is a finite number above 0."""
    return is_number(value) and float(value) > 0.0


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value read from a file is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
