"""Photos as their cameras count pixels: stored or shown, where EXIF says that a photo is stored turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from baseh3d_ns.data.pictures import picture_size, read_mask, read_photo
from baseh3d_ns.errors import InputError

SAME_ASPECT = 0.01
"""Relative difference of aspect ratios that rounding to whole pixels makes."""
STORED: dict[int, Callable[[Any], Any]] = {
    5: lambda shown: np.swapaxes(shown, 0, 1),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: np.rot90(np.swapaxes(shown, 0, 1), 2),
    8: lambda shown: np.rot90(shown, -1),
}
"""Pixels as stored of a photo as shown, by the EXIF orientations that swap width and height."""


def counted_size(path: Path, size: tuple[int, int] | None) -> tuple[tuple[int, int], bool]:
    """Width and height of a photo as its camera counts pixels, and whether those are the stored ones.

    By the size that comes with the camera: where only the stored pixels fit it, they are meant, else those shown. A
    camera's size may be another than the photo's, if it has the same shape.

    Args:
        path: the photo.
        size: width and height that come with the camera; None where none do.

    Raises:
        InputError: the photo cannot be read, or has another shape.
    """
    width, height, orientation = picture_size(path)
    stored, shown = (width, height), (height, width) if orientation in STORED else (width, height)
    if size is None or _alike(size, shown):
        return shown, False
    if _alike(size, stored):
        return stored, True
    raise InputError(
        f"{path} is {shown[0]}x{shown[1]} but its camera counts {size[0]}x{size[1]} pixels: give the photo that the "
        "camera was estimated for, uncropped"
    )


def read_counted(photo_path: Path, as_stored: bool) -> UInt8[np.ndarray, "h w 3"]:
    """A photo as 8-bit sRGB, turned as its EXIF orientation says unless `as_stored`."""
    photo = read_photo(photo_path)
    return _turned(photo, picture_size(photo_path)[2]) if as_stored else photo


def read_counted_mask(
    mask_path: Path, photo_path: Path, as_stored: bool, size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """A mask, turned like its photo where it was made of the photo's stored pixels or of those shown.

    Args:
        size: width and height of the photo as its camera counts them.

    Raises:
        InputError: the mask cannot be read, or has another size than its photo.
    """
    mask = read_mask(mask_path)
    height, width = mask.shape
    if (width, height) == size:
        return mask
    orientation = picture_size(photo_path)[2]
    if orientation in STORED and (height, width) == size:
        # Each of these turns undoes itself, but for quarter turns, whose opposite is the other one.
        turn = orientation if as_stored else {6: 8, 8: 6}.get(orientation, orientation)
        return np.ascontiguousarray(STORED[turn](mask))
    raise InputError(
        f"{mask_path} is {width}x{height} but its photo {photo_path.name} is {size[0]}x{size[1]}: make the mask again "
        "at that size"
    )


def _turned(photo: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "w h 3"]:
    return np.ascontiguousarray(STORED[orientation](photo))


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same shape, up to rounding."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1.0) < SAME_ASPECT
