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


@dataclass(frozen=True, eq=False)
class FaceBox:
    """A square round a face, level with the eyes."""

    crop: Crop
    confidence: float
    """In 0..1."""


def face_boxes(photo: UInt8[np.ndarray, "h w 3"], side: float) -> list[FaceBox]:
    """Faces that the network finds in windows of the given side (see `WINDOWS`), the most confident first.

    One face may come several times: from several windows and turns.
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
    return sorted(boxes, key=lambda box: -box.confidence)


def _windows(width: int, height: int, side_px: float) -> Iterator[Crop]:
    """Square windows that cover a picture, neighbours overlapping by at least half, in four turns."""
    counts = [max(1, int(np.ceil(2.0 * length / side_px)) - 1) for length in (width, height)]
    columns, rows = (
        _centres(length, side_px, count) for length, count in zip((width, height), counts, strict=True)
    )
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
    found: list[FaceBox] = []
    for index in np.argsort(-confidence):
        if confidence[index] < LEAST_CONFIDENCE:
            break
        centre, right_eye, left_eye = window.to_photo(numbers[index][[0, 2, 3]] + anchors[index])
        side_px = float(numbers[index][1].max()) * window.side_px
        if any(np.linalg.norm(box.crop.centre_px - centre) < 0.5 * box.crop.side_px for box in found):
            continue
        across = left_eye - right_eye
        turn_deg = float(np.degrees(np.arctan2(across[1], across[0])))
        found.append(FaceBox(Crop(centre, side_px, turn_deg), float(confidence[index])))
    return found


def _anchors() -> Float[np.ndarray, "a 2"]:
    """Centres of the cells that the boxes are relative to, in 0..1 of the network's input, row by row."""
    grids = []
    for cells, repeats in GRIDS:
        along = (np.arange(cells) + 0.5) / cells
        rows, columns = np.meshgrid(along, along, indexing="ij")
        grids.append(np.repeat(np.column_stack([columns.ravel(), rows.ravel()]), repeats, axis=0))
    return np.concatenate(grids)
