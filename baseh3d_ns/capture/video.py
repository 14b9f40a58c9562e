"""Frames of a video for structure from motion: evenly spread over the motion, the sharpest of each part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from baseh3d_ns.capture.photos import Photo, sharpness, small_photo
from baseh3d_ns.errors import InputError

MOTION_SIDE = 160
"""Pixels of the longer side at which frames are compared."""


def video_frames(path: Path, count: int) -> list[Photo]:
    """`count` frames of a video, fewer where it has fewer.

    Raises:
        InputError: it cannot be decoded.
    """
    values, motion, before = [], [], None
    for frame in _frames(path):
        small = cv2.resize(frame, (MOTION_SIDE, MOTION_SIDE), interpolation=cv2.INTER_AREA).astype(float)
        motion.append(0.0 if before is None else float(np.abs(small - before).mean()))
        values.append(sharpness(frame))
        before = small
    if not values:
        raise InputError(f"{path} is no video that can be decoded: save it as .mp4 (H.264), or pass photos")
    done = np.cumsum(np.array(motion) + 1e-6)
    part = np.minimum((done / done[-1] * count).astype(int), count - 1)
    chosen = {int(max(np.flatnonzero(part == p), key=lambda i: values[i])) for p in np.unique(part)}
    return [small_photo(f"{path.name}#{i}", frame) for i, frame in enumerate(_frames(path)) if i in chosen]


def _frames(path: Path) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            good, frame = capture.read()
            if not good:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()
