"""Guessed silhouettes corrected by the face that several photos show together.

Wherever a head is seen from, its silhouette covers its skull, jaw and chin. Networks that look at one photo leave them
out: the neck below the hair from behind, dark hair before a dark background from the side. And nothing stands before
a face that is seen from its side: what the networks take for head there is another thing.
"""

from __future__ import annotations

from collections.abc import Sequence

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
FROM_THE_SIDE_DEG = 45.0
"""Least angle between the direction that a face looks in and a camera that sees what is before it."""
AHEAD_MM, REACH_MM = 12.0, 200.0
"""Distance ahead of landmarks from which on nothing is head, since cameras are a little off, and that up to which a
thing seen before the tip of the nose may stand."""
STRIP_MM = 10.0
"""Depth of the strips that this space is drawn in: the part outside of a photo cannot be drawn."""
BROW_MM = (15.0, 18.0)
"""Height of the brow over the inner corners of the eyes, above which hair and hats stand out, and its distance ahead of
them."""


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


def cleared(
    silhouette: Silhouette, known: Bool[np.ndarray, "h w"], face: Face
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """A guessed silhouette without what is seen before the face, from its side, and the pixels that are known.

    Args:
        silhouette: guess of a shot.
        known: pixels that the guess decides on.
        face: landmarks in space.
    """
    towards = face.in_average(silhouette.shot.centre[None])[0]
    if abs(towards[2]) > np.cos(np.radians(FROM_THE_SIDE_DEG)) * np.linalg.norm(towards):
        return silhouette.mask, known
    points = face.in_average(face.points)
    eyes, nose, chin = (points[list(POINTS).index(name)] for name in ("left_eye", "nose_tip", "chin"))
    brow = np.array([nose[0], eyes[1] + BROW_MM[0], eyes[2] + BROW_MM[1]])
    profile = np.concatenate([ellipsoid(SKULL_MM, SKULL_AXES_MM), [*points, brow] + np.array([0.0, 0.0, AHEAD_MM])])
    may_be = [ellipsoid(HAIR_MM, HAIR_AXES_MM), ellipsoid(NECK_MM, NECK_AXES_MM), profile]
    head = _drawn_any(silhouette, face, may_be)
    # Beards stand out before the chin, nothing before the eyes.
    before = [*_strips(nose, brow[1], eyes[2]), *_strips(nose, chin[1], nose[2] + AHEAD_MM)]
    clear = _drawn_any(silhouette, face, before) & ~head & head.any()
    return silhouette.mask & ~clear, known | clear


def beside_neck(points: Float[np.ndarray, "n 3"], face: Face) -> Bool[np.ndarray, " n"]:
    """Whether points of the file's world lie lower than the mouth of an upright face, where no jaw or neck can be."""
    local = face.in_average(points)
    mouth = face.in_average(face.points)[list(POINTS).index("left_lips")]
    return np.asarray((local[:, 1] < mouth[1]) & (np.linalg.norm((local - NECK_MM) / NECK_AXES_MM, axis=1) > 1.0))


def _strips(nose: Float[np.ndarray, " 3"], height_mm: float, depth_mm: float) -> list[Float[np.ndarray, "4 3"]]:
    """Rectangles in the plane of symmetry, between the height of the nose and another one, from a depth on."""
    return [
        np.array([(nose[0], height, depth + width) for height in (nose[1], height_mm) for width in (0.0, STRIP_MM)])
        for depth in np.arange(depth_mm, nose[2] + REACH_MM, STRIP_MM)
    ]


def _drawn_any(
    silhouette: Silhouette, face: Face, parts_mm: Sequence[Float[np.ndarray, "_ 3"]]
) -> Bool[np.ndarray, "h w"]:
    """Pixels on any of several convex hulls."""
    return np.any([_drawn(silhouette, face, part) for part in parts_mm], axis=0)


def _drawn(silhouette: Silhouette, face: Face, points_mm: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "h w"]:
    """Pixels on the convex hull of points in the average adult's head frame; none where the camera is among them."""
    pixels = silhouette.lens.project(silhouette.shot.in_camera(face.from_average(points_mm)))
    if not np.isfinite(pixels).all():
        return np.zeros_like(silhouette.mask)
    return on_convex_hull(pixels, silhouette.mask.shape)
