"""How a head sits on its shoulders, and where the bust below ends: what differs between captures of one person."""

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
"""Canonical point that the shoulders turn about: the middle of the neck."""
BENDS_MM = (75.0, 150.0)
"""Nothing bends above the first of these depths (down and back from the eyes, along `DOWN_AND_BACK`), all below the
second."""
DOWN_AND_BACK = np.array([0.0, -1.0, -0.6])
"""The jaw stays with the head: it lies as low as the nape, but ahead."""
TURN_DEG = (9.0, 4.0, 3.0)
"""Standard deviations of the shoulders' pitch, yaw and roll under the head."""
SHIFT_MM = (3.0, 9.0, 7.0)
"""Of their place: sideways, up (a long or short neck), ahead."""
BULK_SPREAD = (0.1, 0.0, 0.12)
"""Of their size, as a share of the model's: sideways, up, ahead."""
MEANS = np.array([[4.0, 0.0, 0.0], [0.0, -6.0, 0.0], [1.0, 1.0, 1.08]])
"""Of turn, place and size. The model stands straight, with shoulders higher and backs flatter than those of busts that
it did not make; chosen by looking at heads-dev (ICT-FaceKit)."""
DEPTH_MM = (165.0, 225.0)
"""Busts end between these depths below the eyes."""


@dataclass(frozen=True)
class Posture:
    """Of the shoulders under the head, and how far down the bust reaches."""

    turn_deg: Float[np.ndarray, " 3"]
    """About x, y and z."""
    shift_mm: Float[np.ndarray, " 3"]
    bulk: Float[np.ndarray, " 3"]
    """How large the shoulders are along x, y and z; 1 is the model's size."""
    depth_mm: float
    """The bust ends this far below the eyes."""

    @staticmethod
    def draw(rng: np.random.Generator) -> Posture:
        """As different as seated people are; nothing beyond two standard deviations."""
        normal = rng.normal(size=(3, 3)).clip(-2.0, 2.0)
        turn_deg, shift_mm, bulk = normal * [TURN_DEG, SHIFT_MM, BULK_SPREAD] + MEANS
        return Posture(turn_deg, shift_mm, bulk, float(rng.uniform(*DEPTH_MM)))


def take_posture(head: Surface, posture: Posture) -> tuple[Surface, Int[np.ndarray, "f 3"]]:
    """The same head over shoulders of that size, turned and shifted.

    Returns:
        The surface, open below, and triangles between its vertices that close it.
    """
    heights = head.vertices_mm[:, 1]
    bottom = _bottom_faces(head, np.flatnonzero(heights == heights.min()))
    canonical = head.attributes[:, CANONICAL]
    follows = smoothstep(*BENDS_MM, canonical @ DOWN_AND_BACK)[:, None]
    # The body model stands at its own height: the pivot is looked up, not placed.
    pivot = head.vertices_mm[np.linalg.norm(canonical - NECK_MM, axis=1).argsort()[:200]].mean(axis=0)
    turn = Rotation.from_euler("xyz", follows * posture.turn_deg, degrees=True)
    sized = (head.vertices_mm - pivot) * (1.0 + follows * (posture.bulk - 1.0))
    return head.moved(turn.apply(sized) + pivot + follows * posture.shift_mm), bottom


def _bottom_faces(bust: Surface, rim: Int[np.ndarray, " n"]) -> Int[np.ndarray, "f 3"]:
    """A fan over the convex hull of the vertices in the level plane where a bust ends, facing down."""
    corners = rim[ConvexHull(bust.vertices_mm[rim][:, [0, 2]]).vertices]
    fan = np.column_stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]])
    a, b, c = (bust.vertices_mm[fan[:, corner]] for corner in range(3))
    return fan if np.cross(b - a, c - a)[:, 1].sum() < 0.0 else fan[:, ::-1]
