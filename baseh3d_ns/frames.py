"""The one place that knows the three frames: world millimetres, the unit ball, and nerfstudio's camera axes.

world       H3DS world, millimetres; cameras P = K [R | t] with OpenCV axes (x right, y down, z forward)
unit        the ball of radius 1 around the subject; `scale_mat_0` maps unit -> world
nerfstudio  camera-to-world in the unit frame with OpenGL axes (x right, y up, z back), pixel centres at +0.5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float

Points = TypeVar("Points", np.ndarray, torch.Tensor)

OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0])
PIXEL_CENTRE = 0.5
"""H3DS and IDR count pixel centres at integers, nerfstudio at +0.5."""


@dataclass(frozen=True)
class SceneFrame:
    """A similarity without rotation from the unit ball to world millimetres: x_mm = radius_mm * x_unit + centre_mm."""

    centre_mm: tuple[float, float, float]
    """Centre of the unit ball in world millimetres."""
    radius_mm: float
    """Radius of the unit ball in millimetres."""

    @classmethod
    def from_scale_mat(cls, scale_mat: Float[np.ndarray, "4 4"]) -> SceneFrame:
        """The frame of IDR's `scale_mat_0` (unit -> world).

        Raises:
            ValueError: singular, not finite, or not a uniform positive scale plus translation.
        """
        linear = scale_mat[:3, :3]
        radius = float(np.trace(linear)) / 3.0
        if not np.isfinite(scale_mat).all() or radius <= 0.0:
            raise ValueError("it is singular or not finite")
        if not np.allclose(linear, radius * np.eye(3), atol=1e-4 * radius) or not np.allclose(
            scale_mat[3], [0, 0, 0, 1]
        ):
            raise ValueError("it is not a uniform scale with a translation")
        x, y, z = (float(value) for value in scale_mat[:3, 3])
        return cls(centre_mm=(x, y, z), radius_mm=radius)

    @property
    def unit_to_world(self) -> Float[np.ndarray, "4 4"]:
        """The 4x4 matrix that maps unit to world millimetres (IDR's `scale_mat`)."""
        matrix = np.diag([self.radius_mm] * 3 + [1.0])
        matrix[:3, 3] = self.centre_mm
        return matrix

    def to_world_mm(self, points: Points) -> Points:
        """Points [..., 3] from the unit frame to world millimetres, as the kind of array they came in."""
        return points * self.radius_mm + self._centre_like(points)

    def to_unit(self, points_mm: Points) -> Points:
        """Points [..., 3] from world millimetres to the unit frame, as the kind of array they came in."""
        return (points_mm - self._centre_like(points_mm)) / self.radius_mm

    def c2w_opengl(
        self, rotation: Float[np.ndarray, "3 3"], translation_mm: Float[np.ndarray, " 3"]
    ) -> Float[np.ndarray, "3 4"]:
        """nerfstudio's camera-to-world (unit frame, OpenGL axes) of a world-to-camera [R | t] in OpenCV axes and mm."""
        camera_centre_mm = -rotation.T @ translation_mm
        return np.concatenate([rotation.T @ OPENCV_TO_OPENGL, self.to_unit(camera_centre_mm)[:, None]], axis=1)

    def world_to_unit_transform(self) -> tuple[Float[torch.Tensor, "3 4"], float]:
        """nerfstudio's (`dataparser_transform`, `dataparser_scale`): first the translation, then the scale."""
        transform = torch.eye(4)[:3]
        transform[:, 3] = -torch.tensor(self.centre_mm)
        return transform, 1.0 / self.radius_mm

    def _centre_like(self, points: Points) -> Points:
        if isinstance(points, torch.Tensor):
            return torch.tensor(self.centre_mm, dtype=points.dtype, device=points.device)
        return np.asarray(self.centre_mm, dtype=points.dtype)


HEAD_FRAME = SceneFrame(centre_mm=(0.0, -25.0, 15.0), radius_mm=235.0)
"""Unit frame of shape spaces. Their world: +x the subject's left, +y up, +z ahead, origin between the ears, mm."""
LANDMARKS_MM = {
    "right_eye": (-17.2, -3.0, 84.5),
    "left_eye": (17.2, -3.0, 84.5),
    "nose_tip": (0.0, -38.0, 118.9),
    "nose_base": (0.0, -49.0, 108.2),
    "right_lips": (-23.8, -70.0, 92.5),
    "left_lips": (23.8, -70.0, 92.5),
}
"""The six landmarks of H3DS on an average adult in that world: inner eye corners, nose, corners of the mouth."""
