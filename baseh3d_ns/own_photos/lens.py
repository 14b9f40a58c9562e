"""Lens with Brown-Conrady distortion: OpenCV's perspective model, and its undistortion in memory.

Pixel coordinates are (column, row) with pixel centres at integers; a camera's axes are OpenCV's (x right, y down, z
forward).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from baseh3d_ns.data.pictures import Trimap
from baseh3d_ns.data.views import Picture
from baseh3d_ns.errors import InputError

COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
"""Distortion coefficients in OpenCV's order; k4 to k6 are those of the rational model (COLMAP's FULL_OPENCV)."""
ROUND_TRIP_PX = 0.5
"""Distance by which a border pixel may miss itself after undistortion and distortion."""
LARGEST_STRETCH = 4.0
"""Ratio of the undistorted picture's sides to the photo's beyond which the coefficients are taken for damaged."""
BEYOND_BORDER = 1.05
"""Distance from the optical axis, in that of the photo's farthest corner, up to which the model is trusted."""
PER_SIDE = 64
"""Points along each side of a photo at which its undistorted border is looked at."""
WHOLE = 1.0 - 1e-4
"""Share of decided pixels among those that one is interpolated from, from which it is decided, up to rounding."""
_PRECISE = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-10)


@dataclass(frozen=True)
class Window:
    """A rectangle of the undistorted picture's plane, in whole pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Lens:
    """Intrinsics of a photo."""

    intrinsics: Float[np.ndarray, "3 3"]
    """K in pixels."""
    distortion: Float[np.ndarray, " 8"]
    """`COEFFICIENTS`."""
    width: int
    """Width of the photo in pixels."""
    height: int
    """Height of the photo in pixels."""

    @property
    def distorts(self) -> bool:
        """Whether any coefficient is not 0."""
        return bool(self.distortion.any())

    @cached_property
    def border(self) -> Float[np.ndarray, "n 2"]:
        """Points of the photo's outline at depth 1."""
        across, down = np.linspace(-0.5, self.width - 0.5, PER_SIDE), np.linspace(-0.5, self.height - 0.5, PER_SIDE)
        sides = [(across, down[:1]), (across, down[-1:]), (across[:1], down), (across[-1:], down)]
        return self.normalised(np.concatenate([np.stack(np.broadcast_arrays(*side), axis=1) for side in sides]))

    @cached_property
    def reach(self) -> float:
        """Distance from the optical axis at depth 1 beyond which nothing is in the photo."""
        return BEYOND_BORDER * float(np.linalg.norm(self.border, axis=1).max())

    def check(self, name: str) -> None:
        """Raise `InputError` where the coefficients cannot be undone within the photo.

        Args:
            name: the photo, for messages.
        """
        if not self.can_be_undone:
            raise InputError(
                f"the distortion of {name} (k1 {self.distortion[0]:g}, k2 {self.distortion[1]:g}) folds the photo over "
                "at its border and cannot be undone: calibrate the camera again, or give undistorted photos"
            )

    @cached_property
    def can_be_undone(self) -> bool:
        """Whether the distortion can be undone all over the photo."""
        if not self.distorts:
            return True
        there = self.normalised(self.project(np.column_stack([self.border, np.ones(len(self.border))])))
        pixels, again = (self.intrinsics[0, 0] * points for points in (self.border, there))
        size = np.ptp(self.border, axis=0) * self.intrinsics[[0, 1], [0, 1]] / (self.width, self.height)
        # NaN fails too.
        return bool(np.abs(pixels - again).max() < ROUND_TRIP_PX and size.max() < LARGEST_STRETCH)

    def normalised(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points at depth 1 that are seen at pixel coordinates."""
        seen, plain = pixels[:, None].astype(np.float64), np.eye(3)
        found = cv2.undistortPointsIter(seen, self.intrinsics, self.distortion, plain, plain, _PRECISE)
        return found[:, 0]

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Pixel coordinates of points in the camera's axes; NaN behind the camera and far outside the photo."""
        pixels = np.full((len(points), 2), np.nan)
        front = points[:, 2] > 0.0
        front[front] = np.linalg.norm(points[front, :2] / points[front, 2:], axis=1) < self.reach
        if front.any():
            found, _ = cv2.projectPoints(points[front], np.zeros(3), np.zeros(3), self.intrinsics, self.distortion)
            pixels[front] = found[:, 0]
        return pixels

    def resized(self, width: int, height: int) -> Lens:
        """The lens of the photo at another size."""
        intrinsics = resized_intrinsics(self.intrinsics, width / self.width, height / self.height)
        return replace(self, intrinsics=intrinsics, width=width, height=height)

    def window_of(self, points: Float[np.ndarray, "n 3"]) -> Window | None:
        """Smallest window that shows points, in the camera's axes and in front of it, as far as the photo does.

        None where the photo shows none of them.
        """
        flat = points[:, :2] / points[:, 2:]
        low = np.maximum(flat.min(axis=0), self.border.min(axis=0))
        high = np.minimum(flat.max(axis=0), self.border.max(axis=0))
        focal, principal = self.intrinsics[[0, 1], [0, 1]], self.intrinsics[:2, 2]
        # Half a pixel lies between the centre of a pixel and its edge.
        first = np.floor(low * focal + principal + 0.5).astype(int)
        last = np.ceil(high * focal + principal - 0.5).astype(int)
        if not self.distorts:
            first, last = np.maximum(first, 0), np.minimum(last, (self.width - 1, self.height - 1))
        width, height = (last - first + 1).tolist()
        return Window(int(first[0]), int(first[1]), width, height) if min(width, height) > 0 else None

    def undistorted(
        self, photo: UInt8[np.ndarray, "h w 3"], trimap: Trimap, window: Window
    ) -> tuple[Picture, Float[np.ndarray, "3 3"]]:
        """The part of photo and silhouette that a window shows without distortion, and its intrinsics.

        Pixels whose source lies outside the photo, or is left open, are not known.
        """
        intrinsics = self.intrinsics.copy()
        intrinsics[:2, 2] -= (window.left, window.top)
        if not self.distorts:
            part = np.s_[window.top : window.top + window.height, window.left : window.left + window.width]
            return Picture(photo[part], trimap.mask[part], trimap.known[part]), intrinsics
        columns, rows = cv2.initUndistortRectifyMap(
            self.intrinsics, self.distortion, np.eye(3), intrinsics, (window.width, window.height), cv2.CV_32FC1
        )
        known = (columns >= 0.0) & (columns <= self.width - 1) & (rows >= 0.0) & (rows <= self.height - 1)
        seen = cv2.remap(photo, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        inside, decided = (
            cv2.remap(part.astype(np.float32), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for part in (trimap.mask, trimap.known)
        )
        known &= np.asarray(decided) > WHOLE
        return Picture(np.asarray(seen, np.uint8), (np.asarray(inside) > 0.5) & known, known), intrinsics


def resized_intrinsics(intrinsics: Float[np.ndarray, "3 3"], across: float, down: float) -> Float[np.ndarray, "3 3"]:
    """K of a picture whose width and height are multiplied; pixel centres stay at integers."""
    factors = np.array([across, down])
    resized = np.diag([across, down, 1.0]) @ intrinsics
    resized[:2, 2] += 0.5 * (factors - 1.0)
    return resized
