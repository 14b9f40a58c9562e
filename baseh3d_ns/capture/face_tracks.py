"""Tracks between photos of one face that stand too far apart for feature matching.

The landmarks give a surface and poses that are right to a few millimetres. So a patch of the surface, seen in one
photo, is known nearly as another one shows it: it is searched for there by normalised cross-correlation of the two
photos resampled on the patch's tangent plane, within the error that is left. The matches say more than landmarks can:
they are the same spots of skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.spatial import Delaunay

from baseh3d_ns.cameras import Pinhole

SPACING_MM = 5.0
"""Distance between neighbouring patches in millimetres, seen from ahead."""
PATCH_SAMPLES = 15
"""Samples along a side of a patch, a pixel of the coarser photo apart."""
MIN_COSINE = 0.3
"""Cosine between normal and direction to a camera below which a patch is too slanted to be compared. Only spots that
three photos show tell the angle between two from the depth of the face, and those are seen slanted by the outer two."""
MIN_CORRELATION = 0.65
"""NCC below which a patch was not found again."""


FINEST_MM = 0.01
"""Width of a pixel on the face below which a camera stands in the face or behind it: no photo is so near."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Points on a head with their normals."""

    points_mm: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Unit, outwards."""


@dataclass(frozen=True, eq=False)
class FacePoints:
    """Points between the landmarks, which move with them."""

    corners: Int[np.ndarray, "n 3"]
    """Landmarks round every point."""
    weights: Float[np.ndarray, "n 3"]
    """Barycentric weights of those."""

    def on(self, head_mm: Float[np.ndarray, "l 3"]) -> Float[np.ndarray, "n 3"]:
        """The points on a head with these landmarks."""
        return np.einsum("nk,nkc->nc", self.weights, head_mm[self.corners])


@dataclass(frozen=True, eq=False)
class Tracks:
    """Points of the surface, each seen on a ray of its reference photo, and where other photos show them."""

    reference: Int[np.ndarray, " n"]
    """Photo on whose ray the point lies."""
    reference_px: Float[np.ndarray, "n 2"]
    """Pixel of that ray."""
    index: Int[np.ndarray, " n"]
    """Number of the point on the surface."""
    normals: Float[np.ndarray, "n 3"]
    """Normals of the surface there."""
    point: Int[np.ndarray, " o"]
    """Point of every observation."""
    view: Int[np.ndarray, " o"]
    """Photo of every observation."""
    observed_px: Float[np.ndarray, "o 2"]
    """Pixel of every observation."""

    def of_points(self, chosen: Int[np.ndarray, " m"]) -> Tracks:
        """Tracks of some points that have one observation each, in the order of the points."""
        return Tracks(
            self.reference[chosen],
            self.reference_px[chosen],
            self.index[chosen],
            self.normals[chosen],
            np.arange(len(chosen)),
            self.view[chosen],
            self.observed_px[chosen],
        )


def face_points(mean_mm: Float[np.ndarray, "l 3"]) -> FacePoints:
    """Points on a grid across the mean face, `SPACING_MM` apart, in the triangles between the landmarks."""
    across = mean_mm[:, :2]
    mesh = Delaunay(across)
    low, high = across.min(axis=0), across.max(axis=0)
    lines = (np.arange(a, b, SPACING_MM) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(*lines), axis=-1).reshape(-1, 2)
    triangle = mesh.find_simplex(grid)
    grid, triangle = grid[triangle >= 0], triangle[triangle >= 0]
    affine = mesh.transform[triangle]
    first = np.einsum("nij,nj->ni", affine[:, :2], grid - affine[:, 2])
    return FacePoints(mesh.simplices[triangle], np.column_stack([first, 1.0 - first.sum(axis=1)]))


def face_surface(face: FacePoints, head_mm: Float[np.ndarray, "l 3"]) -> Surface:
    """The points on a head, with the normals of a neighbourhood: triangles between eyelids or lips turn any way."""
    points, triangles = face.on(head_mm), head_mm[face.corners]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals *= np.sign(normals[:, 2:])
    near = np.exp(-0.5 * (np.linalg.norm(points[:, None] - points[None], axis=-1) / SPACING_MM) ** 2)
    smooth = near @ (normals / np.linalg.norm(normals, axis=1, keepdims=True))
    return Surface(points, smooth / np.linalg.norm(smooth, axis=1, keepdims=True))


def find_tracks(
    photos: Sequence[UInt8[np.ndarray, "h w"]], cameras: Sequence[Pinhole], surface: Surface, search_mm: float
) -> Tracks:
    """Patches of the surface found in two photos or more.

    Args:
        photos: grey photos.
        cameras: their cameras, about right.
        surface: the face, about right.
        search_mm: largest shift of a patch along the surface.
    """
    facing = np.stack([cosine(camera, surface) for camera in cameras], axis=1)
    reference = facing.argmax(axis=1)
    rows: list[tuple[int, int, Float[np.ndarray, " 2"]]] = []
    for index in np.flatnonzero((facing > MIN_COSINE).sum(axis=1) > 1):
        for view in np.flatnonzero(facing[index] > MIN_COSINE):
            if view != reference[index]:
                pair = (int(reference[index]), int(view))
                found = find_patch(photos, cameras, surface, int(index), pair, search_mm, MIN_CORRELATION)
                if found is not None:
                    rows.append((int(index), int(view), found))
    kept = np.array(sorted({index for index, _, _ in rows}), dtype=int)
    return Tracks(
        reference=reference[kept],
        reference_px=np.array([cameras[reference[i]].project(surface.points_mm[i : i + 1])[0] for i in kept]).reshape(
            -1, 2
        ),
        index=kept,
        normals=surface.normals[kept],
        point=np.searchsorted(kept, [index for index, _, _ in rows]).astype(int),
        view=np.array([view for _, view, _ in rows], dtype=int),
        observed_px=np.array([pixel for _, _, pixel in rows]).reshape(-1, 2),
    )


def cosine(camera: Pinhole, surface: Surface) -> Float[np.ndarray, " n"]:
    """Cosines between the normals of a surface and the directions to a camera."""
    towards = camera.centre_mm - surface.points_mm
    return (towards * surface.normals).sum(-1) / np.linalg.norm(towards, axis=1)


def find_patch(
    photos: Sequence[UInt8[np.ndarray, "h w"]],
    cameras: Sequence[Pinhole],
    surface: Surface,
    index: int,
    pair: tuple[int, int],
    search_mm: float,
    min_correlation: float,
) -> Float[np.ndarray, " 2"] | None:
    """Pixel in the second photo of a patch of the first; None where it is not found, or at the end of the search."""
    point, normal = surface.points_mm[index], surface.normals[index]
    step = max(_mm_per_pixel(cameras[view], point) for view in pair)
    if step < FINEST_MM:
        return None
    reach = max(1, round(search_mm / step))
    axes = _tangents(normal)
    patch = _resample(photos[pair[0]], cameras[pair[0]], point, axes, step, PATCH_SAMPLES)
    wide = _resample(photos[pair[1]], cameras[pair[1]], point, axes, step, PATCH_SAMPLES + 2 * reach)
    if patch is None or wide is None or patch.std() < 1.0:
        return None
    scores = cv2.matchTemplate(wide, patch, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    if scores[row, column] < min_correlation or not (0 < row < 2 * reach and 0 < column < 2 * reach):
        return None
    shift = np.array(
        [column + _peak(scores[row, column - 1 : column + 2]), row + _peak(scores[row - 1 : row + 2, column])]
    )
    moved = point + (shift - reach) * step @ axes
    return cameras[pair[1]].project(moved[None])[0]


def _peak(three: Float[np.ndarray, " 3"]) -> float:
    """Position of the top of a parabola through three values, from the middle one."""
    bend = float(three[0] - 2.0 * three[1] + three[2])
    return 0.0 if bend > -1e-9 else float(np.clip(0.5 * (three[0] - three[2]) / bend, -0.5, 0.5))


def _mm_per_pixel(camera: Pinhole, point: Float[np.ndarray, " 3"]) -> float:
    return float((camera.rotation @ point + camera.translation_mm)[2] / camera.intrinsics[0, 0])


def _tangents(normal: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "2 3"]:
    """Axes of the tangent plane, the first one level."""
    across = np.cross([0.0, 1.0, 0.0], normal)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(normal, across)])


def _resample(
    photo: UInt8[np.ndarray, "h w"],
    camera: Pinhole,
    point: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "2 3"],
    step: float,
    samples: int,
) -> Float[np.ndarray, "s s"] | None:
    """Grey values on a square of the tangent plane round a point; None where it leaves the photo."""
    line = step * (np.arange(samples) - (samples - 1) / 2.0)
    places = point + line[None, :, None] * axes[0] + line[:, None, None] * axes[1]
    pixels = camera.project(places.reshape(-1, 3)).astype(np.float32)
    height, width = photo.shape
    if (pixels < 0).any() or (pixels > [width - 1, height - 1]).any():
        return None
    shape = (samples, samples)
    return cv2.remap(
        photo.astype(np.float32), pixels[:, 0].reshape(shape), pixels[:, 1].reshape(shape), cv2.INTER_LINEAR
    )
