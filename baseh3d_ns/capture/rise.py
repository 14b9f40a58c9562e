"""Height of a silhouette above the ears, which hardly depends on where the camera stands."""

from __future__ import annotations

import numpy as np

from baseh3d_ns.own_photos.head_frame import HeadFrame
from baseh3d_ns.own_photos.looks import Look

TOP = 0.995
"""Share of the silhouette that lies below its top: a few stray pixels do not count."""
STEEPEST = 0.5
"""Cosine of the camera's elevation below which it looks onto the crown."""


def rise_mm(look: Look, frame: HeadFrame) -> float | None:
    """Height of a silhouette's top above the ears, at their distance from the camera, in millimetres.

    None where the ears are not known or the camera looks from above or below.
    """
    shot, mask = look.silhouette.shot, look.head
    across = (shot.rotation @ frame.rotation[1])[:2]
    if frame.ears is None or np.linalg.norm(across) < STEEPEST or not mask.any():
        return None
    ears = shot.in_camera(frame.ears[None])[0]
    rows, columns = np.nonzero(mask)
    flat = look.silhouette.lens.normalised(np.column_stack([columns, rows]).astype(float))
    heights = (flat * ears[2] - ears[:2]) @ across / np.linalg.norm(across)
    return frame.scale.mm_per_unit * float(np.quantile(heights, TOP))
