"""Visual hull by voxel carving, coarse to fine (Laurentini, PAMI 1994): where the silhouettes of all views agree.

A voxel beyond a photo's border is unknown to that photo, never outside: nothing is concluded from what was not
photographed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.own_photos.faces import intersection
from baseh3d_ns.own_photos.lens import Lens
from baseh3d_ns.own_photos.shots import Shot

CELLS = 40
"""Voxels along an axis of each of the two grids."""
TOLERATED = 0.1
"""Fraction of the views seeing a voxel that may have it outside their mask, so that one bad mask of many does not
carve the head away."""

Inside = Callable[[Float[np.ndarray, "n 3"]], Bool[np.ndarray, " n"]]


@dataclass(frozen=True, eq=False)
class Silhouette:
    """Mask of a shot, at a size that is quick to look up."""

    shot: Shot
    mask: Bool[np.ndarray, "h w"]

    @property
    def lens(self) -> Lens:
        """Lens of the shot at the mask's size."""
        height, width = self.mask.shape
        return self.shot.lens.resized(width, height)

    def shows(self, points: Float[np.ndarray, "n 3"]) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Whether points lie within the photo, and whether they lie in the mask."""
        pixels = self.lens.project(self.shot.in_camera(points))
        height, width = self.mask.shape
        with np.errstate(invalid="ignore"):
            column, row = np.rint(pixels).T
            seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        inside = np.zeros(len(points), bool)
        inside[seen] = self.mask[row[seen].astype(int), column[seen].astype(int)]
        return np.asarray(seen), inside


@dataclass(frozen=True, eq=False)
class Hull:
    """Voxels that the silhouettes leave."""

    points: Float[np.ndarray, "n 3"]
    """Their centres."""
    spacing: float
    """Distance between neighbouring ones."""


def carve(
    silhouettes: Sequence[Silhouette], centre: Float[np.ndarray, " 3"], reach: float, allowed: Inside
) -> Hull | None:
    """Visual hull in a cube; the largest connected part of it; None where nothing is left.

    Args:
        silhouettes: masks and cameras.
        centre: centre of the cube, in the file's world.
        reach: half the side of the cube.
        allowed: points that may belong to the head at all.
    """
    low, high = centre - reach, centre + reach
    found = None
    for _ in range(2):
        spacing = float((high - low).max()) / CELLS
        counts = np.maximum(1, np.ceil((high - low) / spacing).astype(int))
        axes = [start + spacing * (np.arange(count) + 0.5) for start, count in zip(low, counts, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        points = grid.reshape(-1, 3)
        kept = allowed(points)
        kept[kept] = inside_all(silhouettes, points[kept])
        if not kept.any():
            return found
        points = points[_largest_part(kept.reshape(counts)).ravel()]
        found = Hull(points, spacing)
        low, high = points.min(axis=0) - 1.5 * spacing, points.max(axis=0) + 1.5 * spacing
    return found


def ball_round(points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre and radius of a ball round points, about the middle of their extent."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    return centre, float(np.linalg.norm(points - centre, axis=1).max())


def where_they_look(silhouettes: Sequence[Silhouette]) -> tuple[Float[np.ndarray, " 3"], float]:
    """Point that the views see in the middle of their masks, and the half size of what they show there.

    The size is the largest, since masks end where photos do.
    """
    directions, half_sizes = [], []
    for silhouette in silhouettes:
        rows, columns = np.nonzero(silhouette.mask)
        pixels = np.column_stack([columns, rows])
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        lens = silhouette.lens
        middle = lens.normalised(((low + high) / 2.0)[None].astype(float))
        ray = np.append(middle[0], 1.0) @ silhouette.shot.rotation
        directions.append(ray / np.linalg.norm(ray))
        half_sizes.append(float(np.linalg.norm(high - low + 1)) / 2.0 / float(lens.intrinsics[0, 0]))
    centres = np.array([silhouette.shot.centre for silhouette in silhouettes])
    middle_point = intersection(centres, np.array(directions)[:, None])[0]
    distances = np.linalg.norm(centres - middle_point, axis=1)
    return middle_point, float((distances * half_sizes).max())


def inside_all(silhouettes: Sequence[Silhouette], points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Whether points lie inside the masks of (nearly) all views that see them, and of two at least."""
    inside, outside = np.zeros(len(points), dtype=int), np.zeros(len(points), dtype=int)
    for silhouette in silhouettes:
        # Voxels that too many views have outside stay outside.
        open_ = np.flatnonzero(outside <= TOLERATED * len(silhouettes))
        seen, shown = silhouette.shows(points[open_])
        inside[open_] += shown
        outside[open_] += seen & ~shown
    return (inside >= min(2, len(silhouettes))) & (outside <= TOLERATED * (inside + outside))


def _largest_part(kept: Bool[np.ndarray, "a b c"]) -> Bool[np.ndarray, "a b c"]:
    from scipy.ndimage import label

    labels, _ = label(kept)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()
