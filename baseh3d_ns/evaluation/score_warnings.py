"""Reasons to doubt the scores of a mesh."""

from __future__ import annotations

import trimesh

from baseh3d_ns.evaluation.official import OfficialScores
from baseh3d_ns.evaluation.protocol import SCORED_SPACING_MM

MOST_SCALING = 0.02
"""Relative change of size by the official alignment above which the size is wrong rather than the surface noisy."""


def score_warnings(official: OfficialScores, spacing_mm: float, mesh: trimesh.Trimesh) -> tuple[str, ...]:
    """One sentence for each reason to doubt the scores.

    Args:
        official: the official scores.
        spacing_mm: mean edge length on the face of what they were measured on; NaN where the face has no edge.
        mesh: the prediction.
    """
    found = []
    # Written so that NaN warns too.
    if not spacing_mm <= SCORED_SPACING_MM:
        found.append(
            f"Vertices on the face are {spacing_mm:.2f} mm apart; H3DS measures to the nearest vertex, so the official "
            f"numbers read too high; mesh again at {SCORED_SPACING_MM} mm or less."
        )
    if abs(official.face_icp_scale - 1.0) > MOST_SCALING:
        found.append(
            f"The official alignment scaled the mesh by {official.face_icp_scale:.3f}; its size is wrong, and only the "
            "rigid numbers show it."
        )
    if official.mirrored:
        found.append("The official alignment mirrored the mesh.")
    if not mesh.is_watertight:
        found.append("The mesh is not watertight.")
    return tuple(found)
