"""Irises of a face in a photo, and whether there are any: statues and closed eyes have none.

MediaPipe's network (Ablavatski et al., "Real-time Pupil Tracking from Monocular Video for Digital Puppetry", 2020) sees
one eye, 64 pixels wide, and places the middle of its iris and four points of the edge. An iris is believed where
slightly shifted crops agree on it, where it is darker than the white beside it, and where the eyes do not look aside,
which would make it narrow.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RIGHT_EYE, FaceLandmarks
from baseh3d_ns.pretrained.networks import Crop, run_network

SIZE = 64
"""Width and height of the network's input in pixels."""
CROP_SIDE = 2.3
"""Ratio of the side of a crop to the distance between the corners of the eye."""
SHIFTS = ((1.0, 0.0), (0.92, 0.0), (1.12, 0.0), (1.0, -8.0), (1.0, 8.0))
"""Factor on the side of a crop and turn in degrees, of the crops that the points are the mean over."""
LEAST_PX = 6.0
"""Diameter in pixels of the photo below which an iris is not measured."""
MOST_SCATTER = 0.08
"""Scatter of the points over the crops, in diameters, from which there is no iris."""
DARKER = 0.8
"""Brightness of an iris, relative to the brighter side of the white beside it, above which there is no iris."""
INSIDE, BESIDE, HIGH = 0.7, (1.2, 1.6), 0.3
"""In radii from the middle: half the width of the part of an iris that is looked at, distances of the white beside it,
and half the height of both, which narrow eyes leave open."""
MOST_ASIDE = 0.1
"""Distance of the irises from the middles of their eyes, in widths of the eye, beyond which the eyes look aside."""
RIGHTMOST, LEFTMOST = 1, 3
"""Points of the edge at the height of the middle; the first is the middle."""


def iris_diameters_px(photo: UInt8[np.ndarray, "h w 3"], face: FaceLandmarks) -> Float[np.ndarray, " 2"]:
    """Width of the irises of the subject's right and left eye in pixels; NaN where an eye shows none or looks aside.

    Raises:
        InputError: the network is not here and cannot be fetched.
    """
    found = np.array([_iris(photo, face, RIGHT_EYE, False), _iris(photo, face, LEFT_EYE, True)])
    diameters_px, aside = found.T
    seen = np.isfinite(diameters_px)
    # Of both eyes together: the corners of one are not found better than the gaze matters.
    looks_aside = seen.any() and abs(float(aside[seen].mean())) > MOST_ASIDE
    return np.full(2, np.nan) if looks_aside else diameters_px


def _iris(
    photo: UInt8[np.ndarray, "h w 3"], face: FaceLandmarks, corners: tuple[int, int], mirrored: bool
) -> tuple[float, float]:
    """Width of the iris between two landmarks, and how far it lies from their middle towards the second, in their
    distance; the network's crops are mirrored for a left eye, as it knows right ones."""
    first, last = face.points_px[list(corners)]
    across = last - first
    turn_deg = float(np.degrees(np.arctan2(across[1], across[0])))
    crop = Crop(0.5 * (first + last), CROP_SIDE * float(np.linalg.norm(across)), turn_deg)
    passes = np.stack(
        [_run(photo, Crop(crop.centre_px, by * crop.side_px, turn_deg + turn), mirrored) for by, turn in SHIFTS]
    )
    points = passes.mean(axis=0)
    diameter_px = float(np.linalg.norm(passes[:, LEFTMOST] - passes[:, RIGHTMOST], axis=1).mean())
    scatter = float(np.linalg.norm(passes - points, axis=2).mean()) / max(diameter_px, 1e-9)
    aside = float((points[0] - crop.centre_px) @ across / (across @ across))
    is_seen = diameter_px >= LEAST_PX and scatter <= MOST_SCATTER and _is_darker(photo, points, diameter_px)
    return (diameter_px if is_seen else float("nan")), aside


def _run(photo: UInt8[np.ndarray, "h w 3"], crop: Crop, mirrored: bool) -> Float[np.ndarray, "5 2"]:
    """Middle and edge of the iris in pixels of the photo, of one pass of the network."""
    picture = crop.sample(photo, SIZE) / 255.0
    (points,) = run_network("iris_landmark", picture[:, ::-1] if mirrored else picture, ("output_iris",))
    inside = points.reshape(-1, 3)[:, :2].astype(float) / SIZE
    return crop.to_photo(inside * [-1.0, 1.0] + [1.0, 0.0] if mirrored else inside)


def _is_darker(photo: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "5 2"], diameter_px: float) -> bool:
    """Whether an iris is darker than the white on its brighter side."""
    import cv2

    across = points[LEFTMOST] - points[RIGHTMOST]
    right = across / np.linalg.norm(across)
    axes = 0.5 * diameter_px * np.stack([right, [-right[1], right[0]]])

    def brightness(least: float, most: float) -> float:
        grid = np.stack(np.meshgrid(np.linspace(least, most, 15), np.linspace(-HIGH, HIGH, 7)), axis=-1)
        places = (points[0] + grid @ axes).astype(np.float32)
        return float(np.median(cv2.remap(photo, places[..., 0], places[..., 1], cv2.INTER_LINEAR).mean(axis=-1)))

    least, most = BESIDE
    white = max(brightness(least, most), brightness(-most, -least))
    return brightness(-INSIDE, INSIDE) < DARKER * white
