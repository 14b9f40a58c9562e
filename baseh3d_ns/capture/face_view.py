"""A photo with a face, and what its landmarks alone tell: the first pose of its camera, and the face's size in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import centred_intrinsics
from baseh3d_ns.frames import PIXEL_CENTRE

FINEST_PX_PER_MM = 1.5
"""Pixels for a millimetre of the face beyond which a photo says no more. Patches of finer ones show little but pores
and noise, which are found again in wrong places, and a face may move more than that from photo to photo."""
NO_DISTORTION = np.zeros(4)
"""Distortion coefficients of a pinhole, for OpenCV."""


@dataclass(frozen=True, eq=False)
class FaceView:
    """A photo with a face that was found."""

    points_px: Float[np.ndarray, "l 2"]
    """Landmarks in pixels (column, row), centres at integers."""
    width: int
    height: int
    focal_px: float
    """Expected focal length in pixels."""
    focal_sd: float
    """Relative standard deviation of that."""
    lens: int
    """Number of the lens: photos of one share a factor on their focal lengths."""
    sure: bool = True
    """Whether the landmarks may be relied upon."""


def first_pose(view: FaceView, face_mm: Float[np.ndarray, "l 3"]) -> Float[np.ndarray, " 6"]:
    """Rotation vector and translation in decimetres of the camera that sees the mean face at the landmarks (PnP)."""
    intrinsics = centred_intrinsics(view.focal_px, view.width, view.height)
    _, rotation, translation = cv2.solvePnP(
        face_mm, view.points_px, intrinsics, NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP
    )
    rotation, translation = cv2.solvePnPRefineLM(
        face_mm, view.points_px, intrinsics, NO_DISTORTION, rotation, translation
    )
    return np.concatenate([rotation.ravel(), translation.ravel() / 100.0])


def pixels_per_mm(view: FaceView, pose: Float[np.ndarray, " 6"], face_mm: Float[np.ndarray, "l 3"]) -> float:
    """Pixels of a photo for a millimetre of the face: extent of its landmarks over that seen from far away."""
    return _size(view.points_px) / _size(Rotation.from_rotvec(pose[:3]).apply(face_mm)[:, :2])


def no_finer(view: FaceView, face_mm: Float[np.ndarray, "l 3"]) -> FaceView:
    """The same view, in a smaller photo where its own is finer than `FINEST_PX_PER_MM`."""
    factor = min(1.0, FINEST_PX_PER_MM / pixels_per_mm(view, first_pose(view, face_mm), face_mm))
    width, height = max(1, round(factor * view.width)), max(1, round(factor * view.height))
    factors = np.array([width / view.width, height / view.height])
    return replace(
        view,
        points_px=(view.points_px + PIXEL_CENTRE) * factors - PIXEL_CENTRE,
        width=width,
        height=height,
        focal_px=view.focal_px * float(factors.mean()),
    )


def _size(points: Float[np.ndarray, "l 2"]) -> float:
    """Root mean square distance from the middle."""
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))
