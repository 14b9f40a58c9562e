"""Photographs of a head: ray casting with 2 x 2 samples a pixel, shading, plain background, mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.synthetic.anatomy import ATTRIBUTES
from baseh3d_ns.synthetic.head import Head
from baseh3d_ns.synthetic.identity import Identity
from baseh3d_ns.synthetic.light import Lighting
from baseh3d_ns.synthetic.material import material_at
from baseh3d_ns.synthetic.rays import RayCaster

SAMPLES = 2
"""Samples along each side of a pixel."""
EXPOSURE = 0.80
"""Factor on linear radiance before the tone curve."""
MARGIN_PX = 2
"""Margin in pixels round the part of the image that rays are cast for."""


@dataclass(frozen=True)
class Photo:
    """One view as it is written to disk (sRGB)."""

    rgb: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    """255 where the head covers at least half of the pixel, else 0."""


@dataclass(frozen=True)
class Background:
    """Plain wall, brighter in the middle."""

    rgb: Float[np.ndarray, " 3"]
    """sRGB in 0..1."""
    falloff: float
    """Darkening of the corners, 0..1."""


class Renderer:
    """Renderer of all views of one head: embree scene and per-vertex values are built once."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._caster = RayCaster(head.surface)
        self._fixed = np.hstack([head.surface.attributes, head.surface.normals])

    def photograph(self, camera: Pinhole, lighting: Lighting, behind: Float[np.ndarray, "h w 3"]) -> Photo:
        """Photo of one view (a square image) before a picture (sRGB, 0..1), white balance and exposure neutral."""
        left, top, width, height = _box(camera, self._head.surface.vertices_mm)
        directions = camera.rays(_sample_grid(left, top, width, height))
        origins = np.broadcast_to(camera.centre_mm, directions.shape)
        hits = self._caster.first_hits(origins, directions)
        values = hits.interpolate(np.hstack([self._fixed, lighting.irradiance, lighting.lamp_visibility]))
        colours = shade(values, self._head.identity, lighting, -directions[hits.ray])

        samples = np.zeros((len(directions), 4))
        samples[hits.ray] = np.column_stack([colours, np.ones(len(colours))])
        pixels = samples.reshape(height, SAMPLES, width, SAMPLES, 4).mean(axis=(1, 3))
        canvas = np.zeros((camera.height, camera.width, 4))
        canvas[top : top + height, left : left + width] = pixels
        coverage = canvas[..., 3:]
        rgb = canvas[..., :3] + (1.0 - coverage) * behind
        return Photo(
            (rgb.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8),
            np.where(coverage[..., 0] >= 0.5, 255, 0).astype(np.uint8),
        )


def shade(
    values: Float[np.ndarray, "n c"], identity: Identity, lighting: Lighting, to_camera: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Colours (sRGB, 0..1) of points seen along `to_camera`: diffuse plus Blinn-Phong highlights of the lamps.

    The columns of `values` are attributes, normal, irradiance and visibility of each lamp.
    """
    attributes, normal, irradiance, lamp_visibility = np.split(
        values, [ATTRIBUTES, ATTRIBUTES + 3, ATTRIBUTES + 6], axis=1
    )
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-9)
    material = material_at(attributes, identity)
    light = material.albedo * irradiance
    for lamp, lamp_rgb, visibility in zip(lighting.lamp_directions, lighting.lamp_rgb, lamp_visibility.T, strict=True):
        half = to_camera + lamp
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        aligned = np.einsum("ni,ni->n", normal, half).clip(0.0)
        highlight = material.gloss * (material.polish + 8.0) / 8.0 * aligned**material.polish * visibility
        light += highlight[:, None] * lamp_rgb
    return to_srgb(light * EXPOSURE)


def to_srgb(light: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Tone curve: a soft shoulder above 0.7, then the sRGB transfer function."""
    rolled = np.where(light > 0.7, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.3), light)
    return np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled.clip(1e-9) ** (1.0 / 2.4) - 0.055)


def _box(camera: Pinhole, vertices_mm: Float[np.ndarray, "n 3"]) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels of the bounding box of the head in the image."""
    pixels = camera.project(vertices_mm)
    low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - MARGIN_PX, 0, camera.width - 1)
    high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + MARGIN_PX, 0, camera.width - 1)
    return int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)


def _sample_grid(left: int, top: int, width: int, height: int) -> Float[np.ndarray, "s 2"]:
    """Pixel coordinates (column, row) of all samples, row by row; pixel centres lie at integers."""
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    columns = (left + np.arange(width)[:, None] + offsets).ravel()
    rows = (top + np.arange(height)[:, None] + offsets).ravel()
    grid_columns, grid_rows = np.meshgrid(columns, rows)
    return np.column_stack([grid_columns.ravel(), grid_rows.ravel()])


def wall(size: int, background: Background) -> Float[np.ndarray, "s s 3"]:
    """Image of the wall (sRGB, 0..1) with falloff and a faint grain."""
    span = np.linspace(-1.0, 1.0, size)
    falloff = 1.0 - background.falloff * (span[None, :] ** 2 + (span[:, None] + 0.2) ** 2) / 2.0
    grain = gaussian_filter(np.random.default_rng(5).standard_normal((size, size)), size / 40.0, mode="wrap")
    return (falloff + 0.005 * grain / grain.std())[..., None] * background.rgb
