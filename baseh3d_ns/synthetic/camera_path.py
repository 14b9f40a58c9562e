"""Cameras of the photographs: an orbit of the head as in H3DS, mostly frontal."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole

SIDE_DEG, FEW_SIDE_DEG = 90.0, 50.0
"""Half the angle of the frontal arc in degrees, and of an arc with fewer than five views."""
ELEVATIONS_DEG = (-5.0, 13.0)
"""Range of elevations in degrees: never so low that a camera looks into the bust from below its rim."""
DISTANCES_MM = (690.0, 770.0)
"""Range of distances between camera and subject, in millimetres."""
AZIMUTH_JITTER_DEG, FRONTAL_JITTER_DEG = 3.0, 2.0
"""Largest deviation of azimuths from an even spread, in degrees, and of the frontal one."""
ROLL_DEG = 1.2
"""Standard deviation of the roll in degrees."""
AIM_JITTER_MM = 4.0
"""Largest offset of the aim from the middle of the subject along each axis, in millimetres."""
PRINCIPAL_POINT_JITTER = 0.006
"""Largest offset of the principal point from the middle of the image, as a share of its size."""
FILL = 0.475
"""Distance of the farthest point of the subject from the middle of the tightest view, as a share of the image size."""
VIEW_TARGETS_DEG = {
    1: (0.0,),
    3: (0.0, 47.0, -47.0),
    4: (47.0, -47.0, -140.0, 130.0),
    8: (88.0, 47.0, 0.0, -47.0, -88.0, -140.0, 180.0, 130.0),
}
"""Azimuths of the view configurations of H3DS, by number of views, in degrees (positive: the subject's left)."""
MANY_VIEWS = (16, 32)
"""View configurations made of the 8 views above and others spread over the rest."""
VIEW_COUNTS = (*VIEW_TARGETS_DEG, *MANY_VIEWS)


def azimuths_deg(views: int) -> Float[np.ndarray, " v"]:
    """Azimuths of the views in degrees (0: frontal, positive: the subject's left): five in eight on the frontal arc."""
    frontal = 2 * round((views * 0.625 - 1.0) / 2.0) + 1
    side = SIDE_DEG if frontal >= 5 else FEW_SIDE_DEG
    front = np.linspace(side, -side, frontal)
    back = np.linspace(-side, side - 360.0, views - frontal + 2)[1:-1]
    return np.concatenate([front, (back + 180.0) % 360.0 - 180.0])


def camera_path(subject_mm: Float[np.ndarray, "n 3"], views: int, size: int, rng: np.random.Generator) -> list[Pinhole]:
    """`views` cameras on a slightly irregular orbit of the subject, with the one focal length that just fits it."""
    centre = (subject_mm.min(axis=0) + subject_mm.max(axis=0)) / 2.0
    even = azimuths_deg(views)
    jitter = np.where(np.abs(even) < 1.0, FRONTAL_JITTER_DEG, AZIMUTH_JITTER_DEG)
    azimuths = np.radians(even + rng.uniform(-1.0, 1.0, views) * jitter)
    elevations = np.radians(rng.uniform(*ELEVATIONS_DEG, views))
    distances = rng.uniform(*DISTANCES_MM, views)
    middle = (size - 1) / 2.0 + size * rng.uniform(-PRINCIPAL_POINT_JITTER, PRINCIPAL_POINT_JITTER, 2)
    rolls = rng.normal(0.0, ROLL_DEG, views)
    aims = centre + rng.uniform(-AIM_JITTER_MM, AIM_JITTER_MM, (views, 3))
    poses = []
    for azimuth, elevation, distance, roll, aim in zip(azimuths, elevations, distances, rolls, aims, strict=True):
        outwards = np.array(
            [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
        )
        poses.append(_look_at(centre + distance * outwards, aim, roll))
    in_camera = [subject_mm @ rotation.T + translation for rotation, translation in poses]
    widest = max(np.abs(points[:, :2] / points[:, 2:]).max() for points in in_camera)
    focal = FILL * size / widest
    intrinsics = np.array([[focal, 0.0, middle[0]], [0.0, focal, middle[1]], [0.0, 0.0, 1.0]])
    return [Pinhole(intrinsics, rotation, translation, size, size) for rotation, translation in poses]


def views_configs(cameras: list[Pinhole], subject_centre_mm: Float[np.ndarray, " 3"]) -> dict[str, list[int]]:
    """View configurations by number of views, those of `VIEW_COUNTS` that the cameras suffice for."""
    positions = np.stack([camera.centre_mm for camera in cameras]) - subject_centre_mm
    configs = {str(n): nearest_views(positions, n) for n in VIEW_TARGETS_DEG if n <= len(cameras)}
    for count in MANY_VIEWS:
        if count <= len(cameras):
            others = [view for view in range(len(cameras)) if view not in configs["8"]]
            extra = np.linspace(0, len(others) - 1, count - 8).round().astype(int)
            configs[str(count)] = sorted(configs["8"] + [others[i] for i in extra])
    return configs


def nearest_views(positions: Float[np.ndarray, "v 3"], count: int) -> list[int]:
    """Views nearest to the azimuths of `VIEW_TARGETS_DEG` for that number of views, none chosen twice.

    Args:
        positions: camera centres from the middle of the subject; +y up, +z ahead.
        count: a key of `VIEW_TARGETS_DEG`.
    """
    azimuths = np.degrees(np.arctan2(positions[:, 0], positions[:, 2]))
    chosen: list[int] = []
    for target in VIEW_TARGETS_DEG[count]:
        away = np.abs((azimuths - target + 180.0) % 360.0 - 180.0)
        away[chosen] = np.inf
        chosen.append(int(np.argmin(away)))
    return chosen


def _look_at(
    position_mm: Float[np.ndarray, " 3"], aim_mm: Float[np.ndarray, " 3"], roll_deg: float
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """World-to-camera rotation and translation (mm) of a camera that looks at `aim_mm`, +y up but for the roll."""
    forward = (aim_mm - position_mm) / np.linalg.norm(aim_mm - position_mm)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    rotation = Rotation.from_euler("z", roll_deg, degrees=True).as_matrix() @ upright
    return rotation, -rotation @ position_mm
