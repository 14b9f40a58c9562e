"""Posture of the shoulders below a head, and the depth where the bust ends: both vary between captures of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from baseh3d_ns.synthetic.anatomy import CANONICAL
from baseh3d_ns.synthetic.noise import smoothstep
from baseh3d_ns.synthetic.surface import Surface

NECK_MM = np.array([0.0, -85.0, -20.0])
"""Canonical pivot of the shoulders in millimetres: the middle of the neck."""
BENDS_MM = (75.0, 150.0)
"""Depths along `DOWN_AND_BACK` in millimetres: nothing bends above the first, everything below the second."""
DOWN_AND_BACK = np.array([0.0, -1.0, -0.6])
"""Canonical direction of depth: the jaw, as low as the nape but ahead of it, stays with the head."""
ROTATION_SPREAD_DEG = (9.0, 4.0, 3.0)
"""Standard deviations of pitch, yaw and roll of the shoulders under the head, in degrees."""
TRANSLATION_SPREAD_MM = (3.0, 9.0, 7.0)
"""Standard deviations of their translation sideways, up (a long or short neck) and ahead, in millimetres."""
SCALE_SPREAD = (0.1, 0.0, 0.12)
"""Standard deviations of their scale along x, y and z, as a share of the body model's size."""
MEANS = np.array([[4.0, 0.0, 0.0], [0.0, -6.0, 0.0], [1.0, 1.0, 1.08]])
"""Means of rotation (degrees), translation (mm) and scale. The body model stands straight, with shoulders higher and
backs flatter than those of other busts; chosen by looking at busts of another generator (ICT-FaceKit)."""
DEPTH_MM = (165.0, 225.0)
"""Range of depths below the eyes where busts end, in millimetres."""


@dataclass(frozen=True)
class Posture:
    """Pose and scale of the shoulders under the head, and reach of the bust."""

    rotation_deg: Float[np.ndarray, " 3"]
    """Rotation about x, y and z (Euler angles) in degrees."""
    translation_mm: Float[np.ndarray, " 3"]
    """Translation along x, y and z in millimetres."""
    scale: Float[np.ndarray, " 3"]
    """Scale along x, y and z; 1 is the size of the body model."""
    depth_mm: float
    """Distance from the eyes down to the end of the bust, in millimetres."""

    @staticmethod
    def draw(rng: np.random.Generator) -> Posture:
        """Random posture of a seated person: normal distributions, clipped at two standard deviations."""
        normal = rng.normal(size=(3, 3)).clip(-2.0, 2.0)
        spreads = [ROTATION_SPREAD_DEG, TRANSLATION_SPREAD_MM, SCALE_SPREAD]
        rotation_deg, translation_mm, scale = normal * spreads + MEANS
        return Posture(rotation_deg, translation_mm, scale, float(rng.uniform(*DEPTH_MM)))


def apply_posture(head: Surface, posture: Posture) -> tuple[Surface, Int[np.ndarray, "f 3"]]:
    """The same head over shoulders that are scaled, rotated and translated (linear blend between jaw and chest).

    Returns:
        Surface, open below, and triangles between its vertices that close it.
    """
    heights = head.vertices_mm[:, 1]
    bottom = _bottom_faces(head, np.flatnonzero(heights == heights.min()))
    canonical = head.attributes[:, CANONICAL]
    weight = smoothstep(*BENDS_MM, canonical @ DOWN_AND_BACK)[:, None]
    # The body model stands at its own height: the pivot is looked up, not placed.
    pivot = head.vertices_mm[np.linalg.norm(canonical - NECK_MM, axis=1).argsort()[:200]].mean(axis=0)
    rotation = Rotation.from_euler("xyz", weight * posture.rotation_deg, degrees=True)
    scaled = (head.vertices_mm - pivot) * (1.0 + weight * (posture.scale - 1.0))
    return head.moved(rotation.apply(scaled) + pivot + weight * posture.translation_mm), bottom


def _bottom_faces(bust: Surface, rim: Int[np.ndarray, " n"]) -> Int[np.ndarray, "f 3"]:
    """Triangle fan over the convex hull of the vertices in the level plane where a bust ends, facing down."""
    corners = rim[ConvexHull(bust.vertices_mm[rim][:, [0, 2]]).vertices]
    fan = np.column_stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]])
    a, b, c = (bust.vertices_mm[fan[:, corner]] for corner in range(3))
    return fan if np.cross(b - a, c - a)[:, 1].sum() < 0.0 else fan[:, ::-1]
