"""Errors of real captures: calibration a little off, varying light, colour casts, masks wrong by pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.synthetic.render import Photo

MOST_TRANSLATION_MM, TYPICAL_TRANSLATION_MM = 1.5, 1.0
"""Largest and typical error of a camera centre, in millimetres."""
MOST_ROTATION_DEG, TYPICAL_ROTATION_DEG = 0.3, 0.25
"""Largest and typical error of a camera rotation, in degrees."""
FOCAL_DEVIATION = 0.003
"""Standard deviation of the relative error of the focal length."""
EXPOSURE_DEVIATION, WHITE_DEVIATION = 0.06, 0.025
"""Standard deviations of the logarithm of exposure and of each channel's white balance."""
MOST_MASK_PX = 2
"""Largest dilation or erosion of a mask, in pixels."""


@dataclass(frozen=True)
class ViewNoise:
    """Errors of one view."""

    rotation_deg: Float[np.ndarray, " 3"]
    """Rotation vector of the written camera about its own centre, in degrees."""
    translation_mm: Float[np.ndarray, " 3"]
    """Displacement of the written camera centre, in millimetres."""
    gain: Float[np.ndarray, " 3"]
    """Exposure and white balance: factor on each linear channel."""
    mask_px: int
    """Pixels by which the mask grows (negative: shrinks)."""


def draw_view_noise(rng: np.random.Generator) -> ViewNoise:
    """Random errors of one view, within the bounds above."""
    return ViewNoise(
        rotation_deg=_random_vector(rng, TYPICAL_ROTATION_DEG, MOST_ROTATION_DEG),
        translation_mm=_random_vector(rng, TYPICAL_TRANSLATION_MM, MOST_TRANSLATION_MM),
        gain=np.exp(rng.normal(0.0, EXPOSURE_DEVIATION) + rng.normal(0.0, WHITE_DEVIATION, 3)),
        mask_px=int(rng.integers(-MOST_MASK_PX, MOST_MASK_PX + 1)),
    )


def draw_focal_factor(rng: np.random.Generator) -> float:
    """Ratio of written to true focal length, shared by all views of a subject as one calibration is."""
    return 1.0 + float(np.clip(rng.normal(0.0, FOCAL_DEVIATION), -2.0 * FOCAL_DEVIATION, 2.0 * FOCAL_DEVIATION))


def written_camera(camera: Pinhole, noise: ViewNoise, focal_factor: float) -> Pinhole:
    """Camera with the calibration errors of a view."""
    rotation = Rotation.from_rotvec(noise.rotation_deg, degrees=True).as_matrix() @ camera.rotation
    intrinsics = camera.intrinsics * np.array([[focal_factor, 1.0, 1.0], [1.0, focal_factor, 1.0], [1.0, 1.0, 1.0]])
    translation_mm = -rotation @ (camera.centre_mm + noise.translation_mm)
    return replace(camera, intrinsics=intrinsics, rotation=rotation, translation_mm=translation_mm)


def developed(photo: Photo, noise: ViewNoise) -> Photo:
    """Photo with the colour cast and the mask errors of a view."""
    rgb = (photo.rgb / 255.0) ** 2.2 * noise.gain
    developed_rgb = (rgb.clip(0.0, 1.0) ** (1 / 2.2) * 255.0 + 0.5).astype(np.uint8)
    return Photo(developed_rgb, _resized_mask(photo.mask, noise.mask_px))


def _resized_mask(mask: UInt8[np.ndarray, "h w"], pixels: int) -> UInt8[np.ndarray, "h w"]:
    """Mask dilated by so many pixels, or eroded by a negative number."""
    if pixels == 0:
        return mask
    change = binary_dilation if pixels > 0 else binary_erosion
    return np.where(change(mask > 0, iterations=abs(pixels)), 255, 0).astype(np.uint8)


def _random_vector(rng: np.random.Generator, typical: float, most: float) -> Float[np.ndarray, " 3"]:
    """Vector of uniform direction and Rayleigh-distributed length, about `typical` and never above `most`."""
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * min(float(rng.rayleigh(typical / 1.25)), most)
