"""Pixels of a photo that are head for sure, or may be hair, by the landmarks of its face."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import Delaunay

from baseh3d_ns.pretrained.landmark_model import load_landmark_model
from baseh3d_ns.pretrained.landmarks import RELIABLE, FaceLandmarks
from baseh3d_ns.similarity import align

Triple = tuple[float, float, float]

FACE_MARGIN = 0.04
"""Width inside the face's outline where landmarks do not decide, in sizes of the face: they err by as much."""
SKULL_MM, SKULL_AXES_MM = (0.0, 25.0, 10.0), (58.0, 74.0, 62.0)
"""Centre and semi-axes in the head frame of an ellipsoid inside the skull of any adult, 10 to 40 mm deep: landmarks
tell a turned head's direction to some degrees only."""
HAIR_MM, HAIR_AXES_MM = (0.0, 45.0, -45.0), (115.0, 110.0, 115.0)
"""Centre and semi-axes in the head frame of an ellipsoid that holds the hair of most people, and neither brow nor jaw
seen from the side."""
FAR = 4.0
"""Distance in longer sides of a picture up to which points outside of it are drawn where they are."""
MISSED = 0.02
"""Share of the skull that networks have to miss for it to be said that they cannot see the hair."""


def face_and_skull(face: FaceLandmarks, scale: float, shape: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """Pixels on a face, and on the skull round it where its landmarks may be relied upon."""
    # Dark hair before a dark background is a thing of its own to both networks.
    itself = _face_itself(face, scale, shape)
    return itself | _ellipsoid(face, SKULL_MM, SKULL_AXES_MM, scale, shape) if face.score >= RELIABLE else itself


def missed_hair(face: FaceLandmarks, scale: float, seen: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that may be hair round a face where networks have lost even a part of the skull under it; else none.

    Args:
        scale: size of the networks' picture in that of the photo.
        seen: pixels that the networks call head.
    """
    if face.score < RELIABLE:
        return np.zeros_like(seen)
    skull = _ellipsoid(face, SKULL_MM, SKULL_AXES_MM, scale, seen.shape)
    if (skull & ~seen).sum() <= MISSED * skull.sum():
        return np.zeros_like(seen)
    return _ellipsoid(face, HAIR_MM, HAIR_AXES_MM, scale, seen.shape)


def _face_itself(face: FaceLandmarks, scale: float, shape: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """Pixels well inside the triangles between a face's landmarks, in a copy of the photo of another size.

    The convex hull would reach past a turned face, over the hollow between brow and nose.
    """
    import cv2

    points = ((face.points_px + 0.5) * scale - 0.5).round().astype(np.int32)
    drawn = np.zeros((shape[0], shape[1]), np.uint8)
    for triangle in _triangles():
        cv2.fillConvexPoly(drawn, points[triangle], (1,))
    margin = round(FACE_MARGIN * scale * face.size_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    return np.asarray(cv2.erode(drawn, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)) > 0)


def ellipsoid(centre: Triple, axes: Triple) -> Float[np.ndarray, "n 3"]:
    """Points all over the surface of an ellipsoid with these semi-axes."""
    angle, height = np.meshgrid(np.linspace(0.0, 2.0 * np.pi, 32), np.linspace(-1.0, 1.0, 16))
    across = np.sqrt(1.0 - height**2)
    ball = np.stack([across * np.cos(angle), height, across * np.sin(angle)], axis=-1).reshape(-1, 3)
    return np.array(centre) + ball * np.array(axes)


def on_convex_hull(points_px: Float[np.ndarray, "n 2"], shape: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """Pixels on the convex hull of points (column, row), which may lie outside of the picture."""
    import cv2

    drawn, far = np.zeros((shape[0], shape[1]), np.uint8), FAR * max(shape[0], shape[1])
    outline = cv2.convexHull(points_px.clip(-far, far).round().astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(drawn, outline, (1,)) > 0)


def _ellipsoid(
    face: FaceLandmarks, centre_mm: Triple, axes_mm: Triple, scale: float, shape: Sequence[int]
) -> Bool[np.ndarray, "h w"]:
    """Pixels on an ellipsoid that a face carries with it, in a copy of the photo of another size."""
    to_photo = align(load_landmark_model().mean_mm, np.column_stack([face.points_px, face.depth_px]))
    points = to_photo.points(ellipsoid(centre_mm, axes_mm))[:, :2]
    return on_convex_hull((points + 0.5) * scale - 0.5, shape)


@lru_cache(maxsize=1)
def _triangles() -> Int[np.ndarray, "t 3"]:
    """Landmarks at the corners of triangles that cover a face, by Delaunay's triangulation of the mean face."""
    return np.asarray(Delaunay(load_landmark_model().mean_mm[:, :2]).simplices)
