"""Find the face in a photo and in a render with one and the same detector, so that its habits cancel out.

Viola and Jones' cascades as OpenCV ships them (no weights to fetch) know faces from the front and from the side and
place their box to about a twentieth of its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

CASCADES = (
    ("haarcascade_frontalface_alt2.xml", False),
    ("haarcascade_frontalface_default.xml", False),
    ("haarcascade_profileface.xml", False),
    ("haarcascade_profileface.xml", True),
)
"""From the most to the least exact, and whether to mirror the picture: the last knows one side of the face only."""
LEAST_WIDTH = 1 / 8
"""Smallest face looked for, as a fraction of the picture's width."""


@dataclass(frozen=True)
class FaceBox:
    """A square around a face, in pixels."""

    x: float
    """Centre, from the left edge of the picture."""
    y: float
    """Centre, from its upper edge."""
    width: float


def find_faces(photo: UInt8[np.ndarray, "h w 3"], render: UInt8[np.ndarray, "k l 3"]) -> tuple[FaceBox, FaceBox] | None:
    """The face in a photo and in a render of another head from the same camera; None unless one cascade finds both."""
    for cascade in CASCADES:
        boxes = _largest_face(photo, *cascade), _largest_face(render, *cascade)
        if boxes[0] and boxes[1]:
            return boxes[0], boxes[1]
    return None


def _largest_face(picture: UInt8[np.ndarray, "h w 3"], cascade: str, mirrored: bool) -> FaceBox | None:
    import cv2

    classifier = _cascade(cascade)
    if classifier.empty():  # some builds of OpenCV come without them: silhouettes alone must do
        return None
    least = max(24, round(picture.shape[1] * LEAST_WIDTH))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    grey = np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey
    found = classifier.detectMultiScale(grey, scaleFactor=1.05, minNeighbors=4, minSize=(least, least))
    if not len(found):
        return None
    x, y, width, height = max(found, key=lambda box: box[2]).tolist()
    centre = x + width / 2.0
    return FaceBox(picture.shape[1] - centre if mirrored else centre, y + height / 2.0, float(width))


@cache
def _cascade(name: str):
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
