"""Where the photographs are taken from: an H3DS-like round of the head, mostly frontal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

SIDE_DEG, FEW_SIDE_DEG = 90.0, 50.0
"""Half the angle of the frontal arc, and of one with fewer than five views."""
ELEVATIONS_DEG = (-5.0, 13.0)
"""Never so low that a camera looks into the bust from below its rim."""
DISTANCES_MM = (690.0, 770.0)
FILL = 0.475
"""The farthest point of the subject is this share of the image from the middle in the tightest view."""
VIEW_TARGETS_DEG = {
    1: (0.0,),
    3: (0.0, 47.0, -47.0),
    4: (47.0, -47.0, -140.0, 130.0),
    8: (88.0, 47.0, 0.0, -47.0, -88.0, -140.0, 180.0, 130.0),
}
MANY_VIEWS = (16, 32)
"""Choices that hold the 8 and others spread over the rest."""
VIEW_COUNTS = (*VIEW_TARGETS_DEG, *MANY_VIEWS)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: OpenCV axes, millimetres, pixel centres at integers, square image."""

    size: int
    intrinsics: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    """World to camera."""
    translation_mm: Float[np.ndarray, " 3"]

    @property
    def centre_mm(self) -> Float[np.ndarray, " 3"]:
        """Where the camera stands."""
        return -self.rotation.T @ self.translation_mm

    @property
    def world_mat(self) -> Float[np.ndarray, "4 4"]:
        """IDR's 4x4 matrix K [R | t] with a last row 0 0 0 1."""
        matrix = np.eye(4)
        matrix[:3] = self.intrinsics @ np.column_stack([self.rotation, self.translation_mm])
        return matrix

    def project(self, points_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Pixel coordinates (column, row) of world points."""
        image = (points_mm @ self.rotation.T + self.translation_mm) @ self.intrinsics.T
        return image[:, :2] / image[:, 2:]

    def rays(self, columns: Float[np.ndarray, " r"], rows: Float[np.ndarray, " r"]) -> Float[np.ndarray, "r 3"]:
        """Unit directions in the world through pixel coordinates."""
        image = np.column_stack([columns, rows, np.ones(len(columns))])
        directions = image @ np.linalg.inv(self.intrinsics).T @ self.rotation
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def azimuths_deg(views: int) -> Float[np.ndarray, " v"]:
    """Azimuth of each view (0: straight at the face, positive: the subject's left): five in eight are frontal."""
    frontal = 2 * round((views * 0.625 - 1.0) / 2.0) + 1
    side = SIDE_DEG if frontal >= 5 else FEW_SIDE_DEG
    front = np.linspace(side, -side, frontal)
    back = np.linspace(-side, side - 360.0, views - frontal + 2)[1:-1]
    return np.concatenate([front, (back + 180.0) % 360.0 - 180.0])


def camera_path(subject_mm: Float[np.ndarray, "n 3"], views: int, size: int, rng: np.random.Generator) -> list[Camera]:
    """`views` cameras on a slightly irregular round of the subject, of one focal length that just fits it."""
    centre = (subject_mm.min(axis=0) + subject_mm.max(axis=0)) / 2.0
    jitter = np.where(np.abs(azimuths := azimuths_deg(views)) < 1.0, 2.0, 3.0)
    azimuths = np.radians(azimuths + rng.uniform(-1.0, 1.0, views) * jitter)
    elevations = np.radians(rng.uniform(*ELEVATIONS_DEG, views))
    distances = rng.uniform(*DISTANCES_MM, views)
    middle = (size - 1) / 2.0 + size * rng.uniform(-0.006, 0.006, 2)
    rolls = rng.normal(0.0, 1.2, views)
    aims = centre + rng.uniform(-4.0, 4.0, (views, 3))
    poses = []
    for azimuth, elevation, distance, roll, aim in zip(azimuths, elevations, distances, rolls, aims, strict=True):
        outwards = np.array(
            [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
        )
        poses.append(_look_at(centre + distance * outwards, aim, roll))
    widest = max(np.abs((seen := subject_mm @ r.T + t)[:, :2] / seen[:, 2:]).max() for r, t in poses)
    focal = FILL * size / widest
    intrinsics = np.array([[focal, 0.0, middle[0]], [0.0, focal, middle[1]], [0.0, 0.0, 1.0]])
    return [Camera(size, intrinsics, rotation, translation) for rotation, translation in poses]


def views_configs(cameras: list[Camera], subject_centre_mm: Float[np.ndarray, " 3"]) -> dict[str, list[int]]:
    """The default choices of `VIEW_COUNTS` views, as far as there are that many."""
    positions = np.stack([camera.centre_mm for camera in cameras]) - subject_centre_mm
    azimuths = np.degrees(np.arctan2(positions[:, 0], positions[:, 2]))
    configs = {
        str(n): _nearest_distinct(azimuths, targets) for n, targets in VIEW_TARGETS_DEG.items() if n <= len(cameras)
    }
    for count in MANY_VIEWS:
        if count <= len(cameras):
            others = [view for view in range(len(cameras)) if view not in configs["8"]]
            extra = np.linspace(0, len(others) - 1, count - 8).round().astype(int)
            configs[str(count)] = sorted(configs["8"] + [others[i] for i in extra])
    return configs


def _nearest_distinct(azimuths: Float[np.ndarray, " v"], targets: tuple[float, ...]) -> list[int]:
    chosen: list[int] = []
    for target in targets:
        away = np.abs((azimuths - target + 180.0) % 360.0 - 180.0)
        away[chosen] = np.inf
        chosen.append(int(np.argmin(away)))
    return chosen


def _look_at(
    position_mm: Float[np.ndarray, " 3"], aim_mm: Float[np.ndarray, " 3"], roll_deg: float
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    forward = (aim_mm - position_mm) / np.linalg.norm(aim_mm - position_mm)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    rotation = Rotation.from_euler("z", roll_deg, degrees=True).as_matrix() @ upright
    return rotation, -rotation @ position_mm
