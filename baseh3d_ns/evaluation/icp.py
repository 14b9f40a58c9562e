"""Alignment of points to a surface by point-to-plane ICP (Chen and Medioni 1992), plain or robust.

Points without a counterpart on the surface (a collar, hair, the border of a scan) shall move nothing, so that every
step leaves some out: those further away than `REACH` times the median distance. Where all points are equally far, as on
a head of the wrong size, that keeps them all. A fixed share (trimmed ICP, Chetverikov et al. 2002) would fit one side
and leave the other, but stands up to a start that is far off: `SHARE` is kept to find another start.
"""

from __future__ import annotations

import math

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from baseh3d_ns.evaluation.distance import Surface

REACH = 5.0
"""Multiple of the median distance beyond which a point has no counterpart: of normal errors, one in a thousand."""
SHARE = 0.8
"""Share of a face that has a counterpart on another surface of the same head; the rest may be hair, or missing."""
ICP_ITERATIONS = 100
ICP_COARSE = 8
"""Every so many points are aligned first: far from the surface, a search takes long."""
MOST_GROWTH = 0.05
"""Largest change of scale in a step: where points do not belong to the surface, they would shrink into it at once."""
ICP_STEP_MM = 1e-3
"""Alignment has converged when a step moves no point further than this."""


def align_rigidly(points: Float[np.ndarray, "n 3"], surface: Surface) -> Float[np.ndarray, "4 4"]:
    """The rotation and translation (no scale, no mirroring) that brings the points onto the surface.

    Each step minimises sum_i (n_i . (p_i + w x p_i + t - q_i))^2 over a small rotation w and a translation t, where q_i
    is the surface point closest to p_i and n_i its normal. Directions that change nothing (a ball's rotation) stay.
    Robust ICP ends in more than one place: where points without a counterpart have raised the median, they stay in. So
    it begins twice, as the points are and after a trimmed alignment; the least median distance wins.

    Args:
        points: at least one, near the surface.
        surface: where they belong.
    """
    trimmed = descend(points[::ICP_COARSE], surface, share=SHARE)
    ends = [_align(points, surface, start, REACH) for start in (np.eye(4), trimmed)]
    medians = [np.median(surface.closest(trimesh.transform_points(points, end)).distances) for end in ends]
    return ends[int(np.argmin(medians))]


def align_plainly(points: Float[np.ndarray, "n 3"], surface: Surface) -> Float[np.ndarray, "4 4"]:
    """`align_rigidly` by plain ICP: every point counts."""
    return _align(points, surface, np.eye(4), math.inf)


def _align(
    points: Float[np.ndarray, "n 3"], surface: Surface, start: Float[np.ndarray, "4 4"], reach: float
) -> Float[np.ndarray, "4 4"]:
    """Rigid motion from a start: few points first, then all."""
    total = start
    for chosen in (points[::ICP_COARSE], points):
        total = descend(trimesh.transform_points(chosen, total), surface, reach=reach) @ total
    return total


def align_by_similarity(points: Float[np.ndarray, "n 3"], surface: Surface) -> Float[np.ndarray, "4 4"]:
    """The similarity near the identity that brings the points onto the surface: robust ICP with a scale."""
    return descend(points, surface, reach=REACH, with_scale=True)


def descend(
    points: Float[np.ndarray, "n 3"],
    surface: Surface,
    *,
    share: float = 1.0,
    reach: float = math.inf,
    iterations: int = ICP_ITERATIONS,
    with_scale: bool = False,
) -> Float[np.ndarray, "4 4"]:
    """The motion found by repeated point-to-plane steps from where the points are; see `align_rigidly`.

    Args:
        points: at least one.
        surface: where they belong.
        share: fraction of the points, those nearest to the surface, that count in a step.
        reach: multiple of the median distance beyond which a point does not count, either.
        iterations: most steps.
        with_scale: whether the size is found too.
    """
    total, moved = np.eye(4), points
    for _ in range(iterations):
        closest = surface.closest(moved)
        normal = surface.normals[closest.faces]
        centre = moved.mean(axis=0)
        columns = [np.cross(moved - centre, normal), normal]
        if with_scale:
            columns.append(np.einsum("nx,nx->n", normal, moved - centre)[:, None])
        system = np.concatenate(columns, axis=1)
        offset = np.einsum("nx,nx->n", normal, closest.points - moved)
        limit = np.quantile(closest.distances, share)
        if math.isfinite(reach):
            limit = min(limit, reach * np.median(closest.distances))
        near = closest.distances <= limit
        system, offset = system[near], offset[near]
        solution, *_ = np.linalg.lstsq(system, offset, rcond=1e-6)
        step = np.eye(4)
        growth = float(np.clip(solution[6:].sum(), -MOST_GROWTH, MOST_GROWTH))
        step[:3, :3] = (1.0 + growth) * Rotation.from_rotvec(solution[:3]).as_matrix()
        step[:3, 3] = centre + solution[3:6] - step[:3, :3] @ centre
        before, moved = moved, trimesh.transform_points(moved, step)
        total = step @ total
        if np.abs(moved - before).max() < ICP_STEP_MM:
            break
    return total


def trimmed_mean(distances_mm: Float[np.ndarray, " n"], share: float) -> float:
    """Mean of the smallest `share` of the distances."""
    kept = max(1, round(share * len(distances_mm)))
    return float(np.partition(distances_mm, kept - 1)[:kept].mean())
