"""Faces in a whole photo, whichever way it lies, by BlazeFace (Bazarevsky et al. 2019, the short-range network).

The network sees 128 x 128 pixels and faces that are upright within about 45 degrees and not much smaller than a sixth
of the picture. So it looks at the photo, and at overlapping windows of half its size, each in four turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, UInt8
from scipy.special import expit

from baseh3d_ns.pretrained.networks import Crop, run_network

SIZE = 128
"""Width and height of the network's input in pixels."""
GRIDS = ((16, 2), (8, 6))
"""Cells a side of the network's two grids, and the number of anchors in each cell."""
TURNS_DEG = (0.0, 90.0, -90.0, 180.0)
WINDOWS = (1.0, 0.5)
"""Sides of the windows looked at, as fractions of the photo's longer side."""
LONGEST_PX = 768
"""Longer side of the photo that windows are taken from: more resolution than the smallest of them can show."""
LEAST_CONFIDENCE = 0.3
"""Confidence below which a box is none."""
MOST_BOXES = 12
"""Number of boxes, of the most confident, that are worth a closer look."""
SAME_TURN_DEG = 45.0
"""Angle between two boxes at one place beyond which they say different things."""


@dataclass(frozen=True, eq=False)
class FaceBox:
    """A square round a face, level with the eyes."""

    crop: Crop
    confidence: float
    """In 0..1."""


def face_boxes(photo: UInt8[np.ndarray, "h w 3"], side: float) -> list[FaceBox]:
    """Faces that the network finds in windows of the given side (see `WINDOWS`), the most confident first.

    One face may come in several turns, of which at most one is right.
    """
    import cv2

    scale = min(1.0, LONGEST_PX / max(photo.shape[:2]))
    height, width = (max(1, round(scale * length)) for length in photo.shape[:2])
    small = np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    boxes = []
    for window in _windows(width, height, side * max(width, height)):
        for box in _boxes_in(small, window):
            centre_px = (box.crop.centre_px + 0.5) / scale - 0.5
            boxes.append(FaceBox(Crop(centre_px, box.crop.side_px / scale, box.crop.turn_deg), box.confidence))
    return _distinct(boxes)[:MOST_BOXES]


def _windows(width: int, height: int, side_px: float) -> Iterator[Crop]:
    """Square windows that cover a picture, neighbours overlapping by at least half, in four turns."""
    counts = [max(1, int(np.ceil(2.0 * length / side_px)) - 1) for length in (width, height)]
    columns, rows = (_centres(length, side_px, count) for length, count in zip((width, height), counts, strict=True))
    for turn_deg, column, row in product(TURNS_DEG, columns, rows):
        yield Crop(np.array([column, row]), side_px, turn_deg)


def _centres(length: int, side_px: float, count: int) -> Float[np.ndarray, " n"]:
    """Centres of `count` windows along one axis of a picture, the first and last flush with its edges."""
    if count == 1:
        return np.array([(length - 1) / 2.0])
    return np.linspace(side_px / 2.0, length - side_px / 2.0, count) - 0.5


def _boxes_in(photo: UInt8[np.ndarray, "h w 3"], window: Crop) -> list[FaceBox]:
    """Faces in one window, none inside a more confident one."""
    picture = window.sample(photo, SIZE) / 127.5 - 1.0
    classified, regressed = run_network("face_detection", picture, ("classificators", "regressors"))
    confidence = expit(classified.reshape(-1).astype(float))
    # Centre, width and height, then six keypoints, of which the first are the right and the left eye.
    numbers = regressed.reshape(len(confidence), 8, 2).astype(float) / SIZE
    anchors = _anchors()
    found = []
    for index in np.flatnonzero(confidence > LEAST_CONFIDENCE):
        centre_px, right_eye, left_eye = window.to_photo(numbers[index][[0, 2, 3]] + anchors[index])
        side_px = float(numbers[index][1].max()) * window.side_px
        across = left_eye - right_eye
        turn_deg = float(np.degrees(np.arctan2(across[1], across[0])))
        found.append(FaceBox(Crop(centre_px, side_px, turn_deg), float(confidence[index])))
    return _distinct(found)


def _distinct(boxes: list[FaceBox]) -> list[FaceBox]:
    """The most confident box of every place and turn, in the order of their confidence."""
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda box: -box.confidence):
        if not any(_are_alike(box.crop, other.crop) for other in kept):
            kept.append(box)
    return kept


def _are_alike(one: Crop, other: Crop) -> bool:
    """Whether two crops overlap by about half and are turned alike."""
    turn_deg = (one.turn_deg - other.turn_deg + 180.0) % 360.0 - 180.0
    apart_px = np.linalg.norm(one.centre_px - other.centre_px)
    return bool(apart_px < 0.5 * max(one.side_px, other.side_px) and abs(turn_deg) < SAME_TURN_DEG)


def _anchors() -> Float[np.ndarray, "a 2"]:
    """Centres of the cells that the boxes are relative to, in 0..1 of the network's input, row by row."""
    grids = []
    for cells, repeats in GRIDS:
        along = (np.arange(cells) + 0.5) / cells
        rows, columns = np.meshgrid(along, along, indexing="ij")
        grids.append(np.repeat(np.column_stack([columns.ravel(), rows.ravel()]), repeats, axis=0))
    return np.concatenate(grids)
