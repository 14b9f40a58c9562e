"""A pinhole camera in world millimetres.

Frames: OpenCV axes (x right, y down, z forward); pixel coordinates are (column, row) with pixel centres at integers, as
in H3DS. For nerfstudio's axes and pixel centres see `frames`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Pinhole:
    """Pinhole camera: (column, row, 1) ~ K (R x_mm + t)."""

    intrinsics: Float[np.ndarray, "3 3"]
    """K in pixels, upper triangular with K[2, 2] = 1; K[0, 1] is the skew."""
    rotation: Float[np.ndarray, "3 3"]
    """R, world to camera."""
    translation_mm: Float[np.ndarray, " 3"]
    """t, world to camera, in millimetres."""
    width: int
    """Image width in pixels."""
    height: int
    """Image height in pixels."""

    @property
    def centre_mm(self) -> Float[np.ndarray, " 3"]:
        """Centre of projection in the world."""
        return -self.rotation.T @ self.translation_mm

    @property
    def world_mat(self) -> Float[np.ndarray, "4 4"]:
        """Projection matrix K [R | t] with a last row 0 0 0 1, as IDR and H3DS store it."""
        matrix = np.eye(4)
        matrix[:3] = self.intrinsics @ np.column_stack([self.rotation, self.translation_mm])
        return matrix

    def rays(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
        """Unit directions in the world of the rays from `centre_mm` through pixel coordinates."""
        homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
        directions = homogeneous @ np.linalg.inv(self.intrinsics).T @ self.rotation
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def pixels(self) -> Float[np.ndarray, "n 2"]:
        """Coordinates of all pixel centres, row by row."""
        column, row = np.meshgrid(np.arange(self.width), np.arange(self.height))
        return np.stack([column.ravel(), row.ravel()], axis=1).astype(float)

    def project(self, points_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Pixel coordinates of world points; meaningless for points behind the camera."""
        image = (points_mm @ self.rotation.T + self.translation_mm) @ self.intrinsics.T
        return image[:, :2] / image[:, 2:]

    def every(self, step: int) -> Pinhole:
        """The camera of `image[::step, ::step]`."""
        intrinsics = np.diag([1.0 / step, 1.0 / step, 1.0]) @ self.intrinsics
        return Pinhole(intrinsics, self.rotation, self.translation_mm, -(-self.width // step), -(-self.height // step))


def centred_intrinsics(focal_px: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """K of a camera without skew whose principal point is the middle of its picture."""
    return np.array([[focal_px, 0.0, (width - 1) / 2.0], [0.0, focal_px, (height - 1) / 2.0], [0.0, 0.0, 1.0]])


def decompose(
    projection: Float[np.ndarray, "3 4"],
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """K (K[2, 2] = 1, positive diagonal, skew kept), R and t of P ~ K [R | t], whatever P's scale and sign.

    RQ decomposition (Hartley & Zisserman, section 6.2.4).
    """
    from scipy.linalg import rq

    projection = projection * np.sign(np.linalg.det(projection[:, :3]))
    upper, rotation = rq(projection[:, :3])
    signs = np.diag(np.sign(np.diag(upper)))
    upper, rotation = upper @ signs, signs @ rotation
    translation = np.linalg.solve(upper, projection[:, 3])
    return upper / upper[2, 2], rotation, translation
