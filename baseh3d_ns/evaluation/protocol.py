"""The protocol of the H3DS scores: what is measured, and how dense a mesh must be."""

from __future__ import annotations

FACE_REGION = "face_sphere"
"""H3DS region of every published face number: the ground-truth vertices within `FACE_RADIUS_MM` of the nose tip."""
FACE_RADIUS_MM = 95.0
"""Radius of that region in millimetres."""
ALIGNED_REGION = "face"
"""H3DS region on which whole heads are aligned: frontal face, ears and neck."""
SCORED_SPACING_MM = 0.6
"""Largest spacing of scored vertices in millimetres: H3DS measures to the nearest predicted vertex, so a coarser mesh
reads too high."""
