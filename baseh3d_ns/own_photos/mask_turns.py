"""Masks that may be of their photos as stored, which cameras count, or as shown: upside down, mirrored, or square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.pictures import picture_size
from baseh3d_ns.own_photos.photo_sizes import STORED, SWAPPED
from baseh3d_ns.own_photos.shots import Shot

CLEARER = 1.25
"""Ratio of the photos' contrasts along the outlines of their masks, from which one way to turn the masks is right."""
SAME = 0.02
"""Share of a mask by which it may change when it is turned, and be the same."""
BLUR = 0.02
"""Distance in longer sides of a photo by which outlines may be off the edges."""

Mask = Bool[np.ndarray, "_ _"]


def turned_as_shown(
    shots: Sequence[Shot], photos: Sequence[UInt8[np.ndarray, "_ _ 3"]], masks: Sequence[Mask | None]
) -> tuple[list[Shot], list[Mask | None]]:
    """Shots and masks, with those masks turned whose photos show edges along their outlines once they are turned.

    One program makes all masks, so they are turned together.

    Args:
        shots: shots, with masks or without.
        photos: photos as the cameras count them.
        masks: masks of the photos' sizes; None where none came with a photo.
    """
    turned = {number: _other_way(shot, mask) for number, (shot, mask) in enumerate(zip(shots, masks, strict=True))}
    ways = [(photos[number], masks[number], other) for number, other in turned.items() if other is not None]
    here = sum(_contrast(photo, mask) for photo, mask, _ in ways if mask is not None)
    there = sum(_contrast(photo, other) for photo, _, other in ways)
    if not ways or here > CLEARER * there:
        return list(shots), list(masks)
    shot = next(shot for shot, other in zip(shots, turned.values(), strict=True) if other is not None)
    named = f"{shot.mask_path} of {shot.photo_path.name}, EXIF orientation {picture_size(shot.photo_path)[2]}"
    if there <= CLEARER * here:
        CONSOLE.log(
            f"Masks ({named}) may be of their photos as stored, or as shown; they are taken for those as stored. If "
            "the head is wrong, save them with their photos' EXIF orientation."
        )
        return list(shots), list(masks)
    CONSOLE.log(f"Masks ({named}) are taken for those of their photos as shown: their outlines lie on edges there.")
    pairs = zip(shots, masks, turned.values(), strict=True)
    chosen = [
        (shot, mask) if other is None else (replace(shot, mask_as_stored=False), other) for shot, mask, other in pairs
    ]
    return [shot for shot, _ in chosen], [mask for _, mask in chosen]


def _other_way(shot: Shot, mask: Mask | None) -> Mask | None:
    """The mask in the pixels as stored, if it is of the photo as shown; None where it is known how it is turned."""
    if mask is None or shot.mask_path is None or not shot.as_stored or shot.mask_as_stored is not None:
        return None
    width, height, orientation = picture_size(shot.photo_path)
    if picture_size(shot.mask_path)[2] in STORED or (orientation in SWAPPED and width != height):
        return None
    other = np.ascontiguousarray(STORED[orientation](mask))
    return other if (other != mask).sum() > SAME * mask.sum() else None


def _contrast(photo: UInt8[np.ndarray, "h w 3"], mask: Mask) -> float:
    """Mean slope of a photo's grey levels across the outline of a mask."""
    sigma = BLUR * max(mask.shape)
    grey, inside = (cv2.GaussianBlur(part.astype(np.float32), (0, 0), sigma) for part in (photo.mean(axis=2), mask))
    (down, right), (across_down, across_right) = np.gradient(grey), np.gradient(inside)
    across = np.abs(down * across_down + right * across_right).sum()
    return float(across / np.hypot(across_down, across_right).sum())
