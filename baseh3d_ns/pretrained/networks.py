"""Pretrained networks as functions: a square crop of a photo in, arrays out, by OpenCV's DNN module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

from baseh3d_ns.pretrained.model_files import model_file


@dataclass(frozen=True, eq=False)
class Crop:
    """A square window of a photo, turned in the image plane."""

    centre_px: Float[np.ndarray, " 2"]
    """(column, row), pixel centres at integers."""
    side_px: float
    turn_deg: float
    """Turn of the window's upright direction from that of the photo, clockwise as one looks at the photo."""

    @property
    def axes(self) -> Float[np.ndarray, "2 2"]:
        """Unit vectors of the window's columns and rows in the photo, as columns of a rotation matrix."""
        cos, sin = np.cos(np.radians(self.turn_deg)), np.sin(np.radians(self.turn_deg))
        return np.array([[cos, -sin], [sin, cos]])

    def to_photo(self, inside: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Pixels of the photo of places in the window, which run from 0 to 1 between its edges."""
        return self.centre_px + self.side_px * (inside - 0.5) @ self.axes.T

    def sample(self, photo: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
        """The window in `size` x `size` pixels, black beyond the photo; each is the mean of the pixels it covers."""
        import cv2

        # A linear interpolation alone would skip pixels where the window shrinks.
        oversampling = int(np.ceil(self.side_px / size).clip(1))
        dense = size * oversampling
        step = self.side_px / dense
        first = self.to_photo(np.full((1, 2), 0.5 / dense))[0]
        sampled = cv2.warpAffine(
            photo,
            np.column_stack([step * self.axes, first]),
            (dense, dense),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        return np.asarray(cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def run_network(
    name: str, picture: Float[np.ndarray, "h w 3"], outputs: tuple[str, ...]
) -> list[Float[np.ndarray, "..."]]:
    """Named outputs, float32, of a network of `model_files.MODELS` for one picture normalised as it expects."""
    blob = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
    network = _network(name)
    network.setInput(blob)
    return [np.asarray(output) for output in network.forward(list(outputs))]


@cache
def _network(name: str):
    import cv2

    return cv2.dnn.readNet(str(model_file(name)))
