"""Parts of silhouettes that the other photos contradict: background that was taken for the head in one of many photos.

A pixel of a silhouette is kept where its ray meets a voxel that most photos allow. Nothing is added, since a hollow may
show in the silhouette of a single photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.own_photos.hull import Silhouette

FEWEST = 10
"""Silhouettes from which on one can be told to be wrong by the others."""
CELLS = 64
"""Voxels along the ball's diameter."""
OUTSIDE, OUTSIDE_LEAST = 0.1, 2
"""Share of the photos seeing a voxel that may have it outside of their silhouettes, and their number that always may:
cameras are a little off, and networks miss the same hair or neck in several photos."""
TOLERANCE = 1.2
"""Distance from an allowed voxel, in voxels, within which rays count as meeting it."""


def without_contradicted(
    silhouettes: Sequence[Silhouette], centre: Float[np.ndarray, " 3"], radius: float
) -> list[Silhouette]:
    """The silhouettes, less what no voxel in the ball explains that most photos allow; the same ones if they are few.

    Args:
        silhouettes: masks and cameras.
        centre: centre of the head's ball, in the file's world.
        radius: its radius.
    """
    if len(silhouettes) < FEWEST:
        return list(silhouettes)
    voxels = _allowed(silhouettes, centre, radius)
    return [_explained(silhouette, voxels, centre, radius) for silhouette in silhouettes]


def _allowed(
    silhouettes: Sequence[Silhouette], centre: Float[np.ndarray, " 3"], radius: float
) -> Float[np.ndarray, "n 3"]:
    """Centres of the voxels in the ball that few of the photos seeing them have outside of their masks."""
    line = (np.arange(CELLS) + 0.5) * 2.0 / CELLS - 1.0
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    points = centre + radius * grid[np.linalg.norm(grid, axis=1) < 1.0]
    seen, outside = np.zeros(len(points)), np.zeros(len(points))
    for silhouette in silhouettes:
        visible, inside = silhouette.shows(points)
        seen += visible
        outside += visible & ~inside
    few = outside <= np.maximum(OUTSIDE_LEAST, OUTSIDE * seen)
    return points[few & (outside < 0.5 * seen)]


def _explained(
    silhouette: Silhouette, voxels: Float[np.ndarray, "n 3"], centre: Float[np.ndarray, " 3"], radius: float
) -> Silhouette:
    """A silhouette without the pixels whose rays meet the ball but pass all voxels; as it is where it shows none."""
    lens, mask = silhouette.lens, silhouette.mask
    local = silhouette.shot.in_camera(voxels)
    pixels = lens.project(local)
    good = np.isfinite(pixels).all(axis=1)
    if not good.any():
        return silhouette
    columns, rows = np.rint(pixels[good]).astype(int).T
    drawn = np.zeros(mask.shape, np.uint8)
    there = (columns >= 0) & (columns < mask.shape[1]) & (rows >= 0) & (rows < mask.shape[0])
    drawn[rows[there], columns[there]] = 1
    voxel_px = 2.0 * radius / CELLS * lens.intrinsics[0, 0] / float(np.median(local[good, 2]))
    reach = int(np.clip(round(TOLERANCE * voxel_px), 1, max(mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    unexplained = mask & (cv2.dilate(drawn, kernel) == 0)
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
