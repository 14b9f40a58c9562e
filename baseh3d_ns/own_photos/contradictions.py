"""Silhouettes that the other photos contradict: background taken for the head in one of many photos, or the other way
round.

A pixel of a silhouette is kept where its ray meets a voxel that most photos allow. Nothing is added, since a hollow may
show in the silhouette of a single photo; one that misses much of what the others agree on shows something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from baseh3d_ns.own_photos.hull import Silhouette

FEWEST = 10
"""Silhouettes from which on one can be told to be wrong by the others."""
CELLS = 64
"""Voxels along the ball's diameter."""
OUTSIDE, OUTSIDE_LEAST = 0.1, 2
"""Share of the photos seeing a voxel that may have it outside of their silhouettes, and their number that always may:
cameras are a little off, and networks miss the same hair or neck in several photos."""
MISSES = 0.2
"""Share of what the others agree on that a silhouette misses if it shows something else."""
TOLERANCE = 1.2
"""Distance from an allowed voxel, in voxels, within which rays count as meeting it."""


def without_contradicted(
    silhouettes: Sequence[Silhouette], centre: Float[np.ndarray, " 3"], radius: float
) -> list[Silhouette | None]:
    """The silhouettes, less what no voxel in the ball explains that most photos allow; None for one of something else.

    Few silhouettes contradict nobody.

    Args:
        silhouettes: masks and cameras.
        centre: centre of the head's ball, in the file's world.
        radius: its radius.
    """
    if len(silhouettes) < FEWEST:
        return list(silhouettes)
    line = (np.arange(CELLS) + 0.5) * 2.0 / CELLS - 1.0
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = centre + radius * grid[np.linalg.norm(grid, axis=1) < 1.0]
    seen, inside = (np.array(shown) for shown in zip(*(one.shows(voxels) for one in silhouettes), strict=True))
    outside = seen & ~inside
    allowed = voxels[_most_allow(seen, outside)]
    found = []
    for number, silhouette in enumerate(silhouettes):
        others = np.arange(len(silhouettes)) != number
        by_others = voxels[_most_allow(seen[others], outside[others])]
        misses = _missed_share(silhouette, by_others, radius) > MISSES
        found.append(None if misses else _explained(silhouette, allowed, centre, radius))
    return found


def _most_allow(seen: Bool[np.ndarray, "v n"], outside: Bool[np.ndarray, "v n"]) -> Bool[np.ndarray, " n"]:
    """Voxels that few of the photos seeing them have outside of their silhouettes."""
    seeing = seen.sum(axis=0)
    return (seeing > 0) & (outside.sum(axis=0) <= np.maximum(OUTSIDE_LEAST, OUTSIDE * seeing))


def _drawn(
    silhouette: Silhouette, voxels: Float[np.ndarray, "n 3"], radius: float
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "k k"]]:
    """Pixels at the centres of voxels, and a disc that covers one and its neighbours."""
    lens, mask = silhouette.lens, silhouette.mask
    local = silhouette.shot.in_camera(voxels)
    pixels = lens.project(local)
    good = np.isfinite(pixels).all(axis=1)
    columns, rows = np.rint(pixels[good]).astype(int).T
    drawn = np.zeros(mask.shape, np.uint8)
    there = (columns >= 0) & (columns < mask.shape[1]) & (rows >= 0) & (rows < mask.shape[0])
    drawn[rows[there], columns[there]] = 1
    voxel_px = 2.0 * radius / CELLS * lens.intrinsics[0, 0] / max(1e-9, float(np.median(local[:, 2])))
    reach = max(1, round(TOLERANCE * voxel_px))
    return drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)).astype(np.uint8)


def _missed_share(silhouette: Silhouette, voxels: Float[np.ndarray, "n 3"], radius: float) -> float:
    """Share of the voxels' picture that a silhouette has outside of it; 0 without voxels."""
    if not len(voxels):
        return 0.0
    drawn, disc = _drawn(silhouette, voxels, radius)
    expected = cv2.morphologyEx(drawn, cv2.MORPH_CLOSE, disc) > 0
    return float((expected & ~silhouette.mask).sum() / max(1, expected.sum()))


def _explained(
    silhouette: Silhouette, voxels: Float[np.ndarray, "n 3"], centre: Float[np.ndarray, " 3"], radius: float
) -> Silhouette:
    """A silhouette without the pixels whose rays meet the ball but pass all voxels."""
    mask = silhouette.mask
    unexplained = mask & (cv2.dilate(*_drawn(silhouette, voxels, radius)) == 0)
    if unexplained.any():
        unexplained[unexplained] = _meet_ball(silhouette, unexplained, centre, radius)
    return replace(silhouette, mask=mask & ~unexplained)


def _meet_ball(
    silhouette: Silhouette, chosen: Bool[np.ndarray, "h w"], centre: Float[np.ndarray, " 3"], radius: float
) -> Bool[np.ndarray, " n"]:
    """Whether the rays through the chosen pixels meet the ball."""
    rows, columns = np.nonzero(chosen)
    flat = silhouette.lens.normalised(np.column_stack([columns, rows]).astype(float))
    local = np.column_stack([flat, np.ones(len(flat))])
    rays = local / np.linalg.norm(local, axis=1, keepdims=True)
    middle = silhouette.shot.in_camera(centre[None])[0]
    return np.asarray(np.linalg.norm(np.cross(rays, middle), axis=1) < radius)
