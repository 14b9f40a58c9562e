"""The tip of the nose on a predicted head, found by its profile: no landmarks are known for own photos."""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float

from baseh3d_ns.fields.placement import Placement

STRIP_MM = 15.0
"""Half width of the strip round the middle of the head whose profile is looked at."""
BIN_MM = 2.0
ABOVE_MM, BELOW_MM = 36.0, 26.0
"""Distances up to the bridge and down to the lips within which the profile must fall back from the tip."""
ROUND_TIP_MM = 12.0
MOST_TIPS = 3
"""Vertices that are looked at: debris before the neck may stand out more than a nose."""


def axes_of_head(placement: Placement) -> Float[np.ndarray, "3 3"]:
    """Rows: the subject's left, up and ahead in the head's world.

    The networks' frame of every prior has +y up and +z ahead; the placement says how the head's own frame is turned
    against it.
    """
    return placement.rotation.detach().cpu().double().numpy()


def nose_tips(mesh: trimesh.Trimesh, axes: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "tips 3"]:
    """The vertices of the profile that stand out most against what lies above and below them, the likeliest nose first.

    Args:
        mesh: a head in mm.
        axes: see `axes_of_head`.
    """
    vertices = mesh.vertices.view(np.ndarray)
    left, up, ahead = axes @ vertices.T
    middle = np.percentile(left, [5, 95]).mean()
    strip = np.flatnonzero((np.abs(left - middle) < STRIP_MM) & (ahead > np.median(ahead)))
    heights = np.floor((up[strip] - up[strip].min()) / BIN_MM).astype(int)
    profile = np.full(heights.max() + 1, -np.inf)
    np.maximum.at(profile, heights, ahead[strip])
    above, below = int(ABOVE_MM / BIN_MM), int(BELOW_MM / BIN_MM)
    falls = [
        (_lowest(profile[height + 1 : height + above]), _lowest(profile[max(0, height - below) : height]))
        for height in range(len(profile))
    ]
    standing_out = profile - np.max(falls, axis=1)
    tips: list[Float[np.ndarray, " 3"]] = []
    for _ in range(MOST_TIPS):
        height = int(np.argmax(standing_out))
        if tips and not np.isfinite(standing_out[height]):
            break
        near = strip[np.abs(heights - height) * BIN_MM <= ROUND_TIP_MM]
        tips.append(vertices[near[ahead[near].argmax()]])
        standing_out[max(0, height - above) : height + above] = -np.inf
    return np.stack(tips)


def _lowest(part: Float[np.ndarray, " n"]) -> float:
    """Least protrusion in a part of a profile; where it has gaps or has ended, none is known to be lower."""
    known = part[np.isfinite(part)]
    return float(known.min()) if len(known) else np.inf
