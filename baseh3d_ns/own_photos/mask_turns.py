"""Masks that may be of their photos as stored or as shown, both of one size: upside down, mirrored, or square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.pictures import picture_size
from baseh3d_ns.own_photos.photo_sizes import SHOWN_BY, STORED, SWAPPED
from baseh3d_ns.own_photos.shots import Shot

CLEARER = 1.25
"""Ratio of the photos' contrasts along the outlines of their masks, from which one way to turn the masks is right."""
SAME = 0.02
"""Share of a mask by which it may change when it is turned, and be the same."""
BLUR = 0.02
"""Distance in longer sides of a photo by which outlines may be off the edges."""

Mask = Bool[np.ndarray, "_ _"]


@dataclass(frozen=True)
class MaskFile:
    """A mask beside its photo; only sizes and orientations may say how it is turned."""

    photo_path: Path
    mask_path: Path
    as_stored: bool
    """Whether the photo is counted as stored, not as shown; the mask is taken for one of the same pixels."""

    def other_way(self, mask: Mask) -> Mask | None:
        """The mask, if it is of the photo's other pixels; None where it is known how it is turned, or is the same."""
        width, height, orientation = picture_size(self.photo_path)
        if orientation not in STORED or picture_size(self.mask_path)[2] in STORED:
            return None
        if orientation in SWAPPED and width != height:
            return None
        turn = orientation if self.as_stored else SHOWN_BY.get(orientation, orientation)
        other = np.ascontiguousarray(STORED[turn](mask))
        return other if (other != mask).sum() > SAME * mask.sum() else None


def turned_like_photos(
    shots: Sequence[Shot], photos: Sequence[UInt8[np.ndarray, "_ _ 3"]], masks: Sequence[Mask | None]
) -> tuple[list[Shot], list[Mask | None]]:
    """Shots and masks, with those masks turned that `turned_masks` turns.

    Args:
        shots: shots, with masks or without.
        photos: photos as the cameras count them.
        masks: masks of the photos' sizes; None where none came with a photo.
    """
    files = [
        MaskFile(shot.photo_path, shot.mask_path, shot.as_stored)
        if shot.mask_path and shot.mask_as_stored is None
        else None
        for shot in shots
    ]
    turned = turned_masks(files, photos, masks)
    chosen = [
        (shot, mask) if other is None else (replace(shot, mask_as_stored=not shot.as_stored), other)
        for shot, mask, other in zip(shots, masks, turned, strict=True)
    ]
    return [shot for shot, _ in chosen], [mask for _, mask in chosen]


def turned_masks(
    files: Sequence[MaskFile | None], photos: Sequence[UInt8[np.ndarray, "_ _ 3"]], masks: Sequence[Mask | None]
) -> list[Mask | None]:
    """Masks turned the other way, where photos show edges along their outlines once they are turned; None elsewhere.

    One program makes all masks, so they are turned together.

    Args:
        files: files of the masks; None where there is none, or it is known how it is turned.
        photos: photos as they are counted.
        masks: masks of the photos' sizes; None where none came with a photo.
    """
    other = [
        None if file is None or mask is None else file.other_way(mask) for file, mask in zip(files, masks, strict=True)
    ]
    ways = [way for way in zip(files, photos, masks, other, strict=True) if way[3] is not None]
    here = sum(_contrast(photo, mask) for _, photo, mask, _ in ways if mask is not None)
    there = sum(_contrast(photo, turned) for _, photo, _, turned in ways if turned is not None)
    stay: list[Mask | None] = [None] * len(other)
    if not ways or here > CLEARER * there:
        return stay
    file = ways[0][0]
    assert file is not None
    named = f"{file.mask_path} of {file.photo_path.name}, EXIF orientation {picture_size(file.photo_path)[2]}"
    counted, not_counted = ("stored", "shown") if file.as_stored else ("shown", "stored")
    if there <= CLEARER * here:
        CONSOLE.log(
            f"Masks ({named}) may be of their photos as {counted}, or as {not_counted}; they are taken for those as "
            f"{counted}. If the head is wrong, save them with their photos' EXIF orientation."
        )
        return stay
    CONSOLE.log(
        f"Masks ({named}) are taken for those of their photos as {not_counted}: their outlines lie on edges there."
    )
    return other


def _contrast(photo: UInt8[np.ndarray, "h w 3"], mask: Mask) -> float:
    """Mean slope of a photo's grey levels across the outline of a mask."""
    sigma = BLUR * max(mask.shape)
    grey, inside = (cv2.GaussianBlur(part.astype(np.float32), (0, 0), sigma) for part in (photo.mean(axis=2), mask))
    (down, right), (across_down, across_right) = np.gradient(grey), np.gradient(inside)
    across = np.abs(down * across_down + right * across_right).sum()
    return float(across / np.hypot(across_down, across_right).sum())
