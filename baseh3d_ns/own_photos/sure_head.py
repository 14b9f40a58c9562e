"""Guessed silhouettes completed by the face that several photos show together.

Wherever a head is seen from, its silhouette covers its skull, jaw and chin. Networks that look at one photo leave them
out: the neck below the hair from behind, dark hair before a dark background from the side.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.own_photos.faces import POINTS, Face
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.pretrained.face_region import (
    HAIR_AXES_MM,
    HAIR_MM,
    SKULL_AXES_MM,
    SKULL_MM,
    ellipsoid,
    on_convex_hull,
)

JAW, INSIDE = ("chin", "right_lips", "left_lips"), 0.85
"""Landmarks of the jaw, and the share of their distance from the skull's middle at which they are head for sure:
cameras are a little off."""
NECK_MM, NECK_AXES_MM = (0.0, -70.0, 20.0), (85.0, 90.0, 100.0)
"""Centre and semi-axes, in the average adult's head frame, of an ellipsoid that holds jaw and neck."""
MISSED = 0.02
"""Share of what is head for sure from which on a silhouette that leaves it out is not believed near the head."""


def completed(
    silhouette: Silhouette, known: Bool[np.ndarray, "h w"], face: Face
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """A guessed silhouette with all that is head for sure, and the pixels that are known.

    Where it left out much, nothing is known of the other pixels near the head.

    Args:
        silhouette: guess of a shot, without what it leaves open.
        known: pixels that the guess decides on.
        face: landmarks in space.
    """
    middle = np.array(SKULL_MM)
    jaw = face.in_average(face.points[[list(POINTS).index(name) for name in JAW]])
    sure = _drawn(
        silhouette, face, np.concatenate([ellipsoid(SKULL_MM, SKULL_AXES_MM), middle + INSIDE * (jaw - middle)])
    )
    mask = silhouette.mask | sure
    if (sure & known & ~silhouette.mask).sum() <= MISSED * sure.sum():
        return mask, known | mask
    hair, neck = ellipsoid(HAIR_MM, HAIR_AXES_MM), ellipsoid(NECK_MM, NECK_AXES_MM)
    return mask, mask | (known & ~_drawn(silhouette, face, np.concatenate([hair, neck])))


def _drawn(silhouette: Silhouette, face: Face, points_mm: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "h w"]:
    """Pixels on the convex hull of points in the average adult's head frame; none where the camera is among them."""
    pixels = silhouette.lens.project(silhouette.shot.in_camera(face.from_average(points_mm)))
    if not np.isfinite(pixels).all():
        return np.zeros_like(silhouette.mask)
    return on_convex_hull(pixels, silhouette.mask.shape)
