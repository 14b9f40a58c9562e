"""Cameras of photos that show no face: profiles and the back of the head, chained to those that are known.

The head of the shape space that fits the known photos (`silhouettes.py`) is seen in a mask from several directions;
spots of its surface that a known photo shows too are then searched for (`face_tracks.py`). A right direction finds many
that agree on one pose (PnP with RANSAC), a wrong one few: so photos are taken up one by one, the surest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.face_tracks import Surface, Tracks, cosine, find_patch
from baseh3d_ns.capture.face_view import NO_DISTORTION
from baseh3d_ns.capture.silhouettes import SEED, PosedMask, fit_head, poses_from_silhouette, surface_of
from baseh3d_ns.capture.track_residuals import FEWEST_AGREEING, LEAST_SHARE, track_residuals

SEARCHES_MM = (14.0, 6.0)
"""Ranges in which spots are searched for, in millimetres along the surface."""
MIN_COSINE, MIN_CORRELATION = 0.4, 0.75
"""Cosine between normal and direction to a camera, and NCC, below which a spot is not found: stricter than across the
face, since the start is further off and many spots of hair look alike."""
TOLERANCE_MM = 3.5
"""Reprojection error of a spot that agrees with a pose, in millimetres at the head."""
LEAST_SIDE = 0.05
"""Width and height of a mask, as fractions of the photo's longer side, below which it shows no head."""


@dataclass(frozen=True, eq=False)
class KnownView:
    """A photo whose camera is known."""

    grey: UInt8[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "h w"]
    camera: Pinhole


@dataclass(frozen=True, eq=False)
class TurnedView:
    """A photo without a face, and the cameras that its silhouette allows."""

    grey: UInt8[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "h w"]
    like: Pinhole
    """Its camera at the place of a known one."""
    candidates: tuple[Pinhole, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """A pose that spots agree on."""

    camera: Pinhole
    agreeing: int
    error_px: float
    """Mean reprojection error of the spots that agree."""


def shows_head(mask: Bool[np.ndarray, "h w"]) -> bool:
    """Whether what is in a mask is large enough for a head."""
    return all(mask.any(axis=axis).sum() >= LEAST_SIDE * max(mask.shape) for axis in (0, 1))


def chain(
    known: Sequence[KnownView], turned: Sequence[TurnedView], landmarks_mm: Float[np.ndarray, "l 3"]
) -> list[Found | None]:
    """Cameras of the photos without a face, None where too few spots agree on one.

    Args:
        known: photos with a face, cameras in the head frame.
        turned: photos without.
        landmarks_mm: landmarks of the head.
    """
    head = fit_head([PosedMask(view.mask, view.camera) for view in known], landmarks_mm)
    surface = surface_of(head)
    bar = progress_bar(turned, desc="Turning a head into photos without a face", unit="photo")
    waiting = {
        i: replace(view, candidates=tuple(poses_from_silhouette(head, view.mask, view.like)))
        for i, view in enumerate(bar)
    }
    found: list[Found | None] = [None] * len(turned)
    views = list(known)
    while waiting:
        bar = progress_bar(waiting.items(), desc="Looking for the same spots in them", unit="photo")
        tried = {i: _best_pose(views, surface, view) for i, view in bar}
        sure = {i: pose for i, pose in tried.items() if pose is not None}
        if not sure:
            break
        first = max(sure, key=lambda i: sure[i].agreeing)
        found[first] = sure[first]
        view = waiting.pop(first)
        views.append(KnownView(view.grey, view.mask, sure[first].camera))
    return found


def _best_pose(known: Sequence[KnownView], surface: Surface, view: TurnedView) -> Found | None:
    """The pose that most spots agree on."""
    poses = [pose for camera in view.candidates if (pose := _pose(known, surface, view, camera)) is not None]
    return max(poses, key=lambda pose: pose.agreeing, default=None)


def _pose(known: Sequence[KnownView], surface: Surface, view: TurnedView, start: Pinhole) -> Found | None:
    """Pose from the spots that are found near a start, twice: PnP with RANSAC, then with their depths set free."""
    photos, cameras = [other.grey for other in known], [other.camera for other in known]
    camera, found = start, None
    for search_mm in SEARCHES_MM:
        tracks = _find_in(photos, cameras, surface, (view.grey, camera), search_mm)
        chosen = _agreeing(surface.points_mm[tracks.index], tracks.observed_px, camera)
        if chosen is None:
            return None
        found = _adjusted(cameras, surface, tracks.of_points(chosen), camera)
        camera = found.camera
    return found


def _find_in(
    photos: Sequence[UInt8[np.ndarray, "h w"]],
    cameras: Sequence[Pinhole],
    surface: Surface,
    other: tuple[UInt8[np.ndarray, "h w"], Pinhole],
    search_mm: float,
) -> Tracks:
    """Points of the surface that are found in another photo, which counts as the last one.

    Args:
        photos: grey photos with known cameras; the one that sees a point best is compared with the other.
        other: grey photo and camera, about right.
    """
    facing = np.stack([cosine(camera, surface) for camera in cameras], axis=1)
    best = facing.argmax(axis=1)
    seen = (facing.max(axis=1) > MIN_COSINE) & (cosine(other[1], surface) > MIN_COSINE)
    index, pixels = [], []
    all_photos, all_cameras = [*photos, other[0]], [*cameras, other[1]]
    for point in np.flatnonzero(seen):
        pair = (int(best[point]), len(photos))
        found = find_patch(all_photos, all_cameras, surface, int(point), pair, search_mm, MIN_CORRELATION)
        if found is not None:
            index.append(int(point))
            pixels.append(found)
    kept = np.array(index, dtype=int)
    return Tracks(
        reference=best[kept],
        reference_px=np.array([cameras[best[i]].project(surface.points_mm[i : i + 1])[0] for i in kept]).reshape(-1, 2),
        index=kept,
        normals=surface.normals[kept],
        point=np.arange(len(kept)),
        view=np.full(len(kept), len(photos)),
        observed_px=np.array(pixels).reshape(-1, 2),
    )


def _agreeing(
    points_mm: Float[np.ndarray, "n 3"], pixels: Float[np.ndarray, "n 2"], like: Pinhole
) -> Int[np.ndarray, " m"] | None:
    """Spots that agree on a pose; None where they are too few."""
    if len(points_mm) < FEWEST_AGREEING:
        return None
    px_per_mm = like.intrinsics[0, 0] / float((like.rotation @ points_mm.mean(axis=0) + like.translation_mm)[2])
    cv2.setRNGSeed(SEED)
    good, _, _, agreeing = cv2.solvePnPRansac(
        points_mm,
        pixels,
        like.intrinsics,
        NO_DISTORTION,
        reprojectionError=TOLERANCE_MM * px_per_mm,
        iterationsCount=500,
    )
    if not good or agreeing is None or len(agreeing) < max(FEWEST_AGREEING, LEAST_SHARE * len(points_mm)):
        return None
    return np.sort(agreeing.ravel())


def _adjusted(cameras: Sequence[Pinhole], surface: Surface, tracks: Tracks, like: Pinhole) -> Found:
    """Pose that fits the spots best when they may move along the rays of the known photos."""
    points_mm = surface.points_mm[tracks.index]
    _, rotation, translation = cv2.solvePnP(
        points_mm, tracks.observed_px, like.intrinsics, NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP
    )

    def camera_of(pose: Float[np.ndarray, " 6"]) -> Pinhole:
        return replace(like, rotation=Rotation.from_rotvec(pose[:3]).as_matrix(), translation_mm=100.0 * pose[3:])

    def residuals(pose: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " r"]:
        return track_residuals(tracks, [*cameras, camera_of(pose)], points_mm)

    start = np.concatenate([rotation.ravel(), translation.ravel() / 100.0])
    camera = camera_of(least_squares(residuals, start, x_scale="jac", max_nfev=40).x)
    error = np.linalg.norm(camera.project(points_mm) - tracks.observed_px, axis=1).mean()
    return Found(camera, len(points_mm), float(error))
