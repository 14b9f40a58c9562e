"""Errors of real captures: calibration a little off, varying light, colour casts, sensor noise, ragged masks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.synthetic.noise_parts import NOISE_PARTS, NoisePart
from baseh3d_ns.synthetic.render import Photo

MOST_TRANSLATION_MM, TYPICAL_TRANSLATION_MM = 1.5, 1.0
"""Largest and typical error of a camera centre, in millimetres."""
MOST_ROTATION_DEG, TYPICAL_ROTATION_DEG = 0.3, 0.25
"""Largest and typical error of a camera rotation, in degrees."""
FOCAL_DEVIATION = 0.003
"""Standard deviation of the relative error of a focal length."""
EXPOSURE_STOPS, WHITE_DEVIATION = 0.15, 0.04
"""Standard deviations of exposure, in stops, and of the logarithm of each channel's white balance."""
SENSOR_DEVIATION = 0.02
"""Standard deviation of the sensor's noise, of the photo's range [0, 1]."""
LIGHT_SLOPE = 0.15
"""Logarithm of the factor on the light from the middle of a photo to its border, along a direction that is fixed to the
camera."""
MOST_MASK_PX = 2.0
"""Largest distance by which a mask's border is off, in pixels: half of it the same all round, half ragged."""
RAGGED_PX = 5.0
"""Standard deviation of the Gaussian that makes a mask's raggedness smooth, in pixels."""


@dataclass(frozen=True)
class ViewNoise:
    """Errors of one view."""

    rotation_deg: Float[np.ndarray, " 3"]
    """Rotation vector of the written camera about its own centre, in degrees."""
    translation_mm: Float[np.ndarray, " 3"]
    """Displacement of the written camera centre, in millimetres."""
    focal_factor: float
    """Ratio of written to true focal length."""
    gain: Float[np.ndarray, " 3"]
    """Exposure and white balance: factor on each linear channel."""
    light_slope: Float[np.ndarray, " 2"]
    """Slope of the logarithm of the light to the right and downwards, from the middle of a photo to its border."""
    sensor: float
    """Standard deviation of the sensor's noise, of the photo's range [0, 1]."""
    mask_px: float
    """Pixels by which the whole mask grows (negative: shrinks)."""
    ragged_px: float
    """Largest distance by which its border is off besides, in pixels."""
    seed: int
    """Seed of what differs from pixel to pixel."""


def draw_view_noise(
    rng: np.random.Generator, light_angle: float, parts: Collection[NoisePart] = NOISE_PARTS
) -> ViewNoise:
    """Random errors of one view, within the bounds above; those of a part are the same whichever others are drawn.

    Args:
        light_angle: direction of the light's gradient in the photos of this camera, in radians.
        parts: kinds of errors, see `NoisePart`; the others are none.
    """

    def if_wanted(part: NoisePart, error: Any, none: Any) -> Any:
        return error if part in parts else none

    rotation = _random_vector(rng, TYPICAL_ROTATION_DEG, MOST_ROTATION_DEG)
    translation = _random_vector(rng, TYPICAL_TRANSLATION_MM, MOST_TRANSLATION_MM)
    focal = float(np.clip(rng.normal(0.0, FOCAL_DEVIATION), -2.0 * FOCAL_DEVIATION, 2.0 * FOCAL_DEVIATION))
    exposure = rng.normal(0.0, EXPOSURE_STOPS) * np.log(2.0)
    white = rng.normal(0.0, WHITE_DEVIATION, 3)
    mask = rng.uniform(-0.5, 0.5) * MOST_MASK_PX
    slope = LIGHT_SLOPE * np.array([np.cos(light_angle), np.sin(light_angle)])
    return ViewNoise(
        rotation_deg=if_wanted("pose", rotation, np.zeros(3)),
        translation_mm=if_wanted("pose", translation, np.zeros(3)),
        focal_factor=if_wanted("focal", 1.0 + focal, 1.0),
        gain=np.exp(if_wanted("exposure", exposure, 0.0) + if_wanted("white", white, np.zeros(3))),
        light_slope=if_wanted("light", slope, np.zeros(2)),
        sensor=if_wanted("sensor", SENSOR_DEVIATION, 0.0),
        mask_px=if_wanted("mask", float(mask), 0.0),
        ragged_px=if_wanted("mask", 0.5 * MOST_MASK_PX, 0.0),
        seed=int(rng.integers(2**31)),
    )


def draw_light_angle(rng: np.random.Generator) -> float:
    """Direction of the light's gradient in a camera's photos, in radians."""
    return float(rng.uniform(0.0, 2.0 * np.pi))


def written_camera(camera: Pinhole, noise: ViewNoise) -> Pinhole:
    """Camera with the calibration errors of a view."""
    rotation = Rotation.from_rotvec(noise.rotation_deg, degrees=True).as_matrix() @ camera.rotation
    factor = noise.focal_factor
    intrinsics = camera.intrinsics * np.array([[factor, 1.0, 1.0], [1.0, factor, 1.0], [1.0, 1.0, 1.0]])
    translation_mm = -rotation @ (camera.centre_mm + noise.translation_mm)
    return replace(camera, intrinsics=intrinsics, rotation=rotation, translation_mm=translation_mm)


def developed(photo: Photo, noise: ViewNoise) -> Photo:
    """Photo with the light, colour cast, sensor noise and mask errors of a view."""
    height, width = photo.mask.shape
    rng = np.random.default_rng(noise.seed)
    down, right = np.meshgrid(np.linspace(-1.0, 1.0, height), np.linspace(-1.0, 1.0, width), indexing="ij")
    light = np.exp(noise.light_slope[0] * right + noise.light_slope[1] * down)[..., None]
    linear = (photo.rgb / 255.0) ** 2.2 * noise.gain * light
    rgb = linear.clip(0.0, 1.0) ** (1 / 2.2) + noise.sensor * rng.normal(size=linear.shape)
    return Photo((rgb.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8), _moved_border(photo.mask, noise, rng))


def _moved_border(
    mask: UInt8[np.ndarray, "h w"], noise: ViewNoise, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """Mask whose border is off by `mask_px`, and by a smooth random distance of at most `ragged_px`."""
    if noise.mask_px == 0.0 and noise.ragged_px == 0.0:
        return mask
    inside = mask > 0
    # Signed distance to the border, which runs between the pixels; negative inside.
    distance = np.where(inside, 0.5 - distance_transform_edt(inside), distance_transform_edt(~inside) - 0.5)
    ragged = gaussian_filter(rng.normal(size=mask.shape), RAGGED_PX)
    moved = noise.mask_px + noise.ragged_px * np.clip(ragged / (2.0 * ragged.std()), -1.0, 1.0)
    return np.where(distance < moved, 255, 0).astype(np.uint8)


def _random_vector(rng: np.random.Generator, typical: float, most: float) -> Float[np.ndarray, " 3"]:
    """Vector of uniform direction and Rayleigh-distributed length, about `typical` and never above `most`."""
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * min(float(rng.rayleigh(typical / 1.25)), most)
