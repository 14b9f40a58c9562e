"""Photos as their cameras count pixels: stored or shown, where EXIF says that a photo is stored turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from baseh3d_ns.data.pictures import Trimap, picture_size, read_photo, read_trimap
from baseh3d_ns.errors import InputError

SAME_ASPECT = 0.01
"""Relative difference of aspect ratios that rounding to whole pixels makes."""
SWAPPED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
STORED: dict[int, Callable[[Any], Any]] = {
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: np.swapaxes(shown, 0, 1),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: np.rot90(np.swapaxes(shown, 0, 1), 2),
    8: lambda shown: np.rot90(shown, -1),
}
"""Pixels as stored of a photo as shown, by its EXIF orientation."""
SHOWN_BY = {6: 8, 8: 6}
"""Orientation whose way from shown to stored leads back, where that is another one."""
UP = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""Direction (right, down) in the stored pixels that is up in the photo as shown, by its EXIF orientation."""


def as_shown(pixels: Bool[np.ndarray, "h w"], photo_path: Path, as_stored: bool) -> Bool[np.ndarray, "_ _"]:
    """A mask in the pixels that a camera counts, turned as its photo is shown."""
    orientation = picture_size(photo_path)[2] if as_stored else 1
    back = STORED.get(SHOWN_BY.get(orientation, orientation))
    return pixels if back is None else np.asarray(back(pixels))


def counted_size(path: Path, size: tuple[int, int] | None, prefers_stored: bool) -> tuple[tuple[int, int], bool]:
    """Width and height of a photo as its camera counts pixels, and whether those are stored ones that are shown turned.

    By the size that comes with the camera, which may be another than the photo's, if it has the same shape.

    Args:
        path: the photo.
        size: width and height that come with the camera; None where none do.
        prefers_stored: whether the stored pixels are meant where both fit: upside down, mirrored, or square. COLMAP
            (since 3.7) and nerfstudio count those.

    Raises:
        InputError: the photo cannot be read, or has another shape.
    """
    width, height, orientation = picture_size(path)
    stored, shown = (width, height), (height, width) if orientation in SWAPPED else (width, height)
    ways = sorted([(stored, orientation in STORED), (shown, False)], key=lambda way: way[1] != prefers_stored)
    if size is None:
        return ways[0]
    fitting = next((way for way in ways if _alike(size, way[0])), None)
    if fitting is not None:
        return fitting
    raise InputError(
        f"{path} is {shown[0]}x{shown[1]} but its camera counts {size[0]}x{size[1]} pixels: give the photo that the "
        "camera was estimated for, uncropped"
    )


def read_counted(photo_path: Path, as_stored: bool) -> UInt8[np.ndarray, "h w 3"]:
    """A photo as 8-bit sRGB, turned as its EXIF orientation says unless `as_stored`."""
    photo = read_photo(photo_path)
    return np.ascontiguousarray(STORED[picture_size(photo_path)[2]](photo)) if as_stored else photo


def made_small(photo: UInt8[np.ndarray, "h w 3"], longest_px: int) -> UInt8[np.ndarray, "k l 3"]:
    """The photo with a longer side of at most so many pixels."""
    height, width = photo.shape[:2]
    factor = min(1.0, longest_px / max(width, height))
    size = max(1, round(factor * width)), max(1, round(factor * height))
    return photo if factor == 1.0 else np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))


def up_as_shown(photo_path: Path, as_stored: bool) -> Float[np.ndarray, " 3"]:
    """Direction in a camera's axes (x right, y down) that is up in its photo as shown."""
    return np.array([*UP[picture_size(photo_path)[2] if as_stored else 1], 0.0])


def read_counted_mask(
    mask_path: Path, photo_path: Path, as_stored: bool, size: tuple[int, int], mask_as_stored: bool | None = None
) -> Trimap:
    """A mask, turned like its photo where it was made of the photo's stored pixels or of those shown.

    Args:
        size: width and height of the photo as its camera counts them.
        mask_as_stored: whether the mask is of the stored pixels; None where its size or orientation says it.

    Raises:
        InputError: the mask cannot be read, or has another size than its photo.
    """
    trimap, orientation = read_trimap(mask_path), picture_size(photo_path)[2]
    # A cut-out photo is turned as it is shown.
    if picture_size(mask_path)[2] in STORED:
        mask_as_stored = False
    if orientation in STORED and mask_as_stored is not None and mask_as_stored != as_stored:
        trimap = _turned(trimap, STORED[orientation if as_stored else SHOWN_BY.get(orientation, orientation)])
    height, width = trimap.mask.shape
    if (width, height) == size:
        return trimap
    if orientation in SWAPPED and (height, width) == size:
        # Each of these turns undoes itself, but for quarter turns, whose opposite is the other one.
        turn = orientation if as_stored else SHOWN_BY.get(orientation, orientation)
        return _turned(trimap, STORED[turn])
    raise InputError(
        f"{mask_path} is {width}x{height} but its photo {photo_path.name} is {size[0]}x{size[1]}: make the mask again "
        "at that size"
    )


def _turned(trimap: Trimap, turn: Callable[[Any], Any]) -> Trimap:
    mask, known = (np.ascontiguousarray(turn(part)) for part in (trimap.mask, trimap.known))
    return replace(trimap, mask=mask, known=known)


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same shape, up to rounding."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1.0) < SAME_ASPECT
