"""Probability that a pixel belongs to a person, or to a thing that stands out, by a network each.

MediaPipe's selfie segmentation knows people, the small U2-Net (Qin et al. 2020) whatever stands out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from baseh3d_ns.pretrained.networks import Crop, run_network

SELFIE_SIZE, U2NET_SIZE = 256, 320
"""Width and height of the networks' inputs in pixels."""
U2NET_MEAN, U2NET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the pictures that the U2-Net was trained on (ImageNet)."""

Map = Float[np.ndarray, "h w"]


def probabilities(copy: UInt8[np.ndarray, "h w 3"], whole: Crop, windows: Sequence[Crop]) -> tuple[Map, Map]:
    """Probabilities by the two networks that a pixel belongs to a person and to a thing that stands out.

    The mean over the windows, and what the networks say of the whole photo where no window reaches.
    """
    maps = []
    for network in (_person_in, _thing_in):
        total, count = np.zeros(copy.shape[:2]), np.zeros(copy.shape[:2])
        for window in windows:
            seen = _to_photo(network(copy, window), window, copy.shape)
            total, count = total + np.nan_to_num(seen), count + np.isfinite(seen)
        missing = count == 0
        if missing.any():
            total[missing] = np.nan_to_num(_to_photo(network(copy, whole), whole, copy.shape))[missing]
        maps.append(total / np.maximum(count, 1))
    return maps[0], maps[1]


def _person_in(copy: UInt8[np.ndarray, "h w 3"], window: Crop) -> Float[np.ndarray, "n n"]:
    picture = window.sample(copy, SELFIE_SIZE) / 255.0
    return run_network("selfie_segmentation", picture, ("activation_10",))[0][0, 0]


def _thing_in(copy: UInt8[np.ndarray, "h w 3"], window: Crop) -> Float[np.ndarray, "n n"]:
    picture = window.sample(copy, U2NET_SIZE).astype(float)
    picture = picture / max(1.0, float(picture.max()))
    return run_network("u2netp", (picture - U2NET_MEAN) / U2NET_DEVIATION, ("1959",))[0][0, 0]


def _to_photo(seen: Float[np.ndarray, "n n"], window: Crop, shape: Sequence[int]) -> Map:
    """A map of a window laid over the photo it was cut from; NaN where the window does not reach."""
    import cv2

    step = window.side_px / len(seen)
    first = window.to_photo(np.full((1, 2), 0.5 / len(seen)))[0]
    return np.asarray(
        cv2.warpAffine(
            seen.astype(np.float32),
            np.column_stack([step * window.axes, first]),
            (shape[1], shape[0]),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(float("nan"),),
        ),
        float,
    )
