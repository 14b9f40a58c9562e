"""Residuals of tracks in a bundle adjustment, with the depths of their points eliminated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.face_tracks import Tracks
from baseh3d_ns.pretrained.landmark_model import soft_l1

TRACK_SD_PX = 0.3
"""Standard deviation of a track's observation in pixels."""
SURFACE_SD_MM = 10.0
"""Standard deviation of the surface between the landmarks, along a ray, in millimetres."""
SOFTNESS = 2.0
"""Residual in standard deviations beyond which the loss grows linearly."""
AGREEING = 5.0
"""Distance in standard deviations between an observation and its reprojected point, up to which the two agree."""
FEWEST_AGREEING, LEAST_SHARE = 40, 0.35
"""Spots that must agree on a camera, and their share of those that it was compared in."""
FEWEST_COMPARED = 100
"""Comparisons from which on a share of them tells something."""


def track_residuals(
    tracks: Tracks, cameras: Sequence[Pinhole], surface: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " r"]:
    """Offsets of the tracks in standard deviations at the best depths of their points (variable projection)."""
    offset, depth = _at_best_depths(tracks, cameras, surface)
    return np.concatenate([soft_l1(offset, SOFTNESS).ravel(), depth / SURFACE_SD_MM])


def support(
    tracks: Tracks, cameras: Sequence[Pinhole], surface: Float[np.ndarray, "n 3"], trusted: Bool[np.ndarray, " v"]
) -> Float[np.ndarray, " v"]:
    """Spots that trusted photos show where a camera says, as a multiple of those needed; infinite for trusted photos.

    A photo with at least 1 is trusted by the next. A camera by landmarks of what is no face, or of a profile that the
    detector took wrong, shares few spots with the others, and those by chance.

    Args:
        trusted: photos whose cameras need no support.
    """
    agree = np.linalg.norm(_at_best_depths(tracks, cameras, surface)[0], axis=1) < AGREEING
    first, second = tracks.reference[tracks.point], tracks.view
    found, trusted = np.zeros(len(cameras)), trusted.copy()
    while True:
        for view in np.flatnonzero(~trusted):
            compared = ((first == view) & trusted[second]) | ((second == view) & trusted[first])
            found[view] = agree[compared].sum() / max(FEWEST_AGREEING, LEAST_SHARE * compared.sum())
        more = ~trusted & (found >= 1.0)
        if not more.any():
            return np.where(trusted, np.inf, found)
        trusted |= more


def agreement(tracks: Tracks, cameras: Sequence[Pinhole], surface: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " v"]:
    """Share of the spots compared with any other photo that agree, of every photo; NaN where too few were to tell."""
    agree = np.linalg.norm(_at_best_depths(tracks, cameras, surface)[0], axis=1) < AGREEING
    pairs = np.concatenate([tracks.reference[tracks.point], tracks.view])
    compared = np.bincount(pairs, minlength=len(cameras))
    found = np.bincount(pairs, np.tile(agree, 2), minlength=len(cameras))
    return np.where(compared < FEWEST_COMPARED, np.nan, found / np.maximum(compared, 1))


def _at_best_depths(
    tracks: Tracks, cameras: Sequence[Pinhole], surface: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "o 2"], Float[np.ndarray, " n"]]:
    """Offsets of all observations in standard deviations, and how far their points lie behind the surface, in mm."""
    points, rays = np.zeros((len(tracks.reference), 3)), np.zeros((len(tracks.reference), 3))
    normals = tracks.normals
    for view, camera in enumerate(cameras):
        here = tracks.reference == view
        rays[here] = camera.rays(tracks.reference_px[here])
        away = ((surface[here] - camera.centre_mm) * normals[here]).sum(-1) / (rays[here] * normals[here]).sum(-1)
        points[here] = camera.centre_mm + away[:, None] * rays[here]
    depth = np.zeros(len(points))
    for _ in range(2):
        offset, slope = _reprojected(tracks, cameras, points + depth[:, None] * rays, rays)
        gradient = np.bincount(tracks.point, (offset * slope).sum(-1), len(points)) + depth / SURFACE_SD_MM**2
        curvature = np.bincount(tracks.point, (slope**2).sum(-1), len(points)) + 1.0 / SURFACE_SD_MM**2
        depth = depth - gradient / curvature
    offset, _ = _reprojected(tracks, cameras, points + depth[:, None] * rays, rays)
    return offset, depth


def _reprojected(
    tracks: Tracks, cameras: Sequence[Pinhole], points: Float[np.ndarray, "n 3"], rays: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "o 2"], Float[np.ndarray, "o 2"]]:
    """Offsets of all observations and their derivatives by the depth along the rays, in standard deviations."""
    offset, slope = np.zeros_like(tracks.observed_px), np.zeros_like(tracks.observed_px)
    for view, camera in enumerate(cameras):
        here = tracks.view == view
        point = tracks.point[here]
        image = (points[point] @ camera.rotation.T + camera.translation_mm) @ camera.intrinsics.T
        change = rays[point] @ camera.rotation.T @ camera.intrinsics.T
        offset[here] = image[:, :2] / image[:, 2:] - tracks.observed_px[here]
        slope[here] = (change[:, :2] - image[:, :2] / image[:, 2:] * change[:, 2:]) / image[:, 2:]
    return offset / TRACK_SD_PX, slope / TRACK_SD_PX
