"""What real captures get wrong: poses and focal lengths a little off, light that turns, colour casts, ragged masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.transform import Rotation

from baseh3d_ns.synthetic.camera_path import Camera
from baseh3d_ns.synthetic.render import Photo

MOST_SHIFT_MM, TYPICAL_SHIFT_MM = 1.5, 1.0
MOST_TURN_DEG, TYPICAL_TURN_DEG = 0.3, 0.25
FOCAL_DEVIATION = 0.003
EXPOSURE_DEVIATION, WHITE_DEVIATION = 0.06, 0.025
MOST_MASK_PX = 2


@dataclass(frozen=True)
class ViewNoise:
    """How one view departs from a perfect capture."""

    turn_deg: Float[np.ndarray, " 3"]
    """Rotation vector of the written camera about its own centre."""
    shift_mm: Float[np.ndarray, " 3"]
    """Displacement of the written camera centre."""
    gain: Float[np.ndarray, " 3"]
    """Exposure and white balance: factor on each linear channel."""
    mask_px: int
    """Pixels by which the mask grows (negative: shrinks)."""


def draw_view_noise(rng: np.random.Generator) -> ViewNoise:
    """The noise of one view, within the bounds above."""
    return ViewNoise(
        turn_deg=_random_vector(rng, TYPICAL_TURN_DEG, MOST_TURN_DEG),
        shift_mm=_random_vector(rng, TYPICAL_SHIFT_MM, MOST_SHIFT_MM),
        gain=np.exp(rng.normal(0.0, EXPOSURE_DEVIATION) + rng.normal(0.0, WHITE_DEVIATION, 3)),
        mask_px=int(rng.integers(-MOST_MASK_PX, MOST_MASK_PX + 1)),
    )


def draw_focal_factor(rng: np.random.Generator) -> float:
    """Written focal length over true one: the same for all views of a subject, as a calibration's error is."""
    return 1.0 + float(np.clip(rng.normal(0.0, FOCAL_DEVIATION), -2.0 * FOCAL_DEVIATION, 2.0 * FOCAL_DEVIATION))


def written_camera(camera: Camera, noise: ViewNoise, focal_factor: float) -> Camera:
    """The camera as a calibration with these errors would write it."""
    rotation = Rotation.from_rotvec(noise.turn_deg, degrees=True).as_matrix() @ camera.rotation
    intrinsics = camera.intrinsics * np.array([[focal_factor, 1.0, 1.0], [1.0, focal_factor, 1.0], [1.0, 1.0, 1.0]])
    return Camera(camera.size, intrinsics, rotation, -rotation @ (camera.centre_mm + noise.shift_mm))


def developed(photo: Photo, noise: ViewNoise) -> Photo:
    """The photo with its colour cast and its ragged mask."""
    rgb = (photo.rgb / 255.0) ** 2.2 * noise.gain
    developed_rgb = (rgb.clip(0.0, 1.0) ** (1 / 2.2) * 255.0 + 0.5).astype(np.uint8)
    return Photo(developed_rgb, _resized_mask(photo.mask, noise.mask_px))


def _resized_mask(mask: UInt8[np.ndarray, "h w"], pixels: int) -> UInt8[np.ndarray, "h w"]:
    if pixels == 0:
        return mask
    change = binary_dilation if pixels > 0 else binary_erosion
    return np.where(change(mask > 0, iterations=abs(pixels)), 255, 0).astype(np.uint8)


def _random_vector(rng: np.random.Generator, typical: float, most: float) -> Float[np.ndarray, " 3"]:
    """A vector of any direction whose length is about `typical` and never above `most`."""
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * min(float(rng.rayleigh(typical / 1.25)), most)
