"""Find the face in a photo and in a render with one and the same detector, so that its habits cancel out.

Viola and Jones' cascades as OpenCV ships them (no weights to fetch) know faces from the front and from the side and
place their box to about a twentieth of its width. Once the two faces lie nearly upon each other, patches (eyes, nose,
mouth) are found again by normalised cross-correlation, which another skin and another light leave alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from baseh3d_ns.placing.config import FaceMatchConfig

CASCADES = (
    ("haarcascade_frontalface_alt2.xml", False),
    ("haarcascade_frontalface_default.xml", False),
    ("haarcascade_profileface.xml", False),
    ("haarcascade_profileface.xml", True),
)
"""Cascade files, from the most to the least exact, and whether the picture is mirrored first: the last knows one side
of the face only."""
FRONTAL = tuple(name for name, _ in CASCADES if "frontal" in name)
"""Cascades of faces from the front, the most exact first."""

SMALLEST_PX = 24
"""Width of the smallest face that the cascades can find, in pixels: their training windows."""

PixelPair = tuple[tuple[int, int], tuple[int, int]]
"""(row, column) of one place in a photo and in a render."""


@dataclass(frozen=True)
class FaceBox:
    """A square around a face, in pixels."""

    x: float
    """Centre, from the left edge of the picture."""
    y: float
    """Centre, from its upper edge."""
    width: float


def find_faces(
    photo: UInt8[np.ndarray, "h w 3"], render: UInt8[np.ndarray, "k l 3"], min_width: float
) -> tuple[FaceBox, FaceBox] | None:
    """The face in a photo and in a render of another head from the same camera; None unless one cascade finds both.

    Args:
        min_width: width of the smallest face looked for, as a fraction of the picture's width.
    """
    for cascade in CASCADES:
        boxes = largest_face(photo, *cascade, min_width), largest_face(render, *cascade, min_width)
        if boxes[0] and boxes[1]:
            return boxes[0], boxes[1]
    return None


def frontal_face_votes(photo: UInt8[np.ndarray, "h w 3"], min_width: float, cascades: Sequence[str] = FRONTAL) -> int:
    """Number of overlapping windows that cascades of frontal faces take for one face, added up; 0 where none finds one.

    A face from the front gets dozens; one from the side, or what merely resembles one (an ear upside down), a few.
    """
    return sum(int(max(_detections(photo, cascade, min_width)[1], default=0)) for cascade in cascades)


def find_patches(
    photo: UInt8[np.ndarray, "h w 3"], render: UInt8[np.ndarray, "h w 3"], config: FaceMatchConfig
) -> list[PixelPair]:
    """Centres of the render's face patches, and the pixels where normalised cross-correlation finds them in the photo.

    Empty where `find_faces` finds no pair of faces.
    """
    import cv2

    boxes = find_faces(photo, render, config.min_width)
    if boxes is None:
        return []
    in_photo, in_render = boxes
    half = round(0.5 * config.patch_width * in_render.width)
    reach = round(config.patch_search * in_render.width)
    grey_photo, grey_render = (
        cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 1.0) for picture in (photo, render)
    )
    found = []
    for down, across in product((-1, 0, 1), (-1, 0, 1)):
        row = int(in_render.y + down * config.patch_offset * in_render.width)
        column = int(in_render.x + across * config.patch_offset * in_render.width)
        top, left = row + int(in_photo.y - in_render.y) - reach, column + int(in_photo.x - in_render.x) - reach
        patch = _window(grey_render, row, column, half)
        searched = _window(grey_photo, top + reach, left + reach, half + reach)
        if patch is None or searched is None:
            continue
        _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(searched, patch, cv2.TM_CCOEFF_NORMED))
        # A maximum at the border is none.
        if best >= config.min_correlation and 0 < x < 2 * reach and 0 < y < 2 * reach:
            found.append(((top + y, left + x), (row, column)))
    return found


def _window(grey: UInt8[np.ndarray, "h w"], row: int, column: int, half: int) -> UInt8[np.ndarray, "n n"] | None:
    """The square round a pixel, or None where it leaves the picture."""
    top, left, bottom, right = row - half, column - half, row + half + 1, column + half + 1
    if top < 0 or left < 0 or bottom > grey.shape[0] or right > grey.shape[1]:
        return None
    return np.ascontiguousarray(grey[top:bottom, left:right])


def largest_face(picture: UInt8[np.ndarray, "h w 3"], cascade: str, mirrored: bool, min_width: float) -> FaceBox | None:
    """Largest face that one cascade finds; None where it finds none."""
    found, _ = _detections(picture[:, ::-1] if mirrored else picture, cascade, min_width)
    if not len(found):
        return None
    x, y, width, height = max(found, key=lambda box: box[2]).tolist()
    centre = x + width / 2.0
    return FaceBox(picture.shape[1] - centre if mirrored else centre, y + height / 2.0, float(width))


def _detections(picture: UInt8[np.ndarray, "h w 3"], cascade: str, min_width: float) -> tuple[Any, Any]:
    """Boxes (x, y, width, height in pixels) that one cascade finds, and the number of windows that each is the mean of.

    Empty where the build of OpenCV comes without the cascades: silhouettes alone must do.
    """
    import cv2

    classifier = _cascade(cascade)
    if classifier.empty():
        return (), ()
    smallest = max(SMALLEST_PX, round(picture.shape[1] * min_width))
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return classifier.detectMultiScale2(grey, scaleFactor=1.05, minNeighbors=4, minSize=(smallest, smallest))


@cache
def _cascade(name: str):
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
