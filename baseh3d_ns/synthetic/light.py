"""Diffuse light of a few soft lamps in a pale room, baked per vertex with its visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LAMPS = (
    (38.0, 38.0, 7.0, (2.9, 2.75, 2.5)),
    (-52.0, 22.0, 5.0, (1.15, 1.25, 1.4)),
    (165.0, 48.0, 7.0, (1.5, 1.45, 1.4)),
    (-120.0, 15.0, 6.0, (0.7, 0.75, 0.8)),
)
"""Lamps: azimuth in degrees from +z towards +x, elevation in degrees, sharpness of the lobe, linear RGB radiance."""
SKY_RGB, FLOOR_RGB = np.array([0.62, 0.64, 0.67]), np.array([0.30, 0.27, 0.24])


"""Linear RGB radiance from straight above and from straight below."""


@dataclass(frozen=True)
class Lighting:
    """Light arriving at each vertex."""

    irradiance: Float[np.ndarray, "n 3"]
    """Diffuse irradiance divided by pi, linear RGB: the radiance of a white vertex."""
    lamp_visibility: Float[np.ndarray, "n l"]
    """Visible share of each lamp, 0..1."""
    lamp_directions: Float[np.ndarray, "l 3"]
    """Unit world directions towards the lamps."""
    lamp_rgb: Float[np.ndarray, "l 3"]
    """Linear RGB radiance of the lamps."""


def lamp_directions() -> Float[np.ndarray, "l 3"]:
    """Unit directions towards the lamps, in the room."""
    azimuth, elevation = np.radians(np.array([lamp[:2] for lamp in LAMPS])).T
    return np.column_stack(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
    )


def light_up(
    visible_cosine: Float[np.ndarray, "n d"],
    directions: Float[np.ndarray, "d 3"],
    room_to_world: Float[np.ndarray, "3 3"],
) -> Lighting:
    """Lighting of every vertex by the room, which stands rotated by `room_to_world` about the subject.

    Args:
        visible_cosine: `directional_visibility` of the vertices.
        directions: sampled directions, spread evenly over the sphere.
        room_to_world: rotation of the lamps, the sky and the floor.
    """
    lamps = lamp_directions() @ room_to_world.T
    sharpness = np.array([lamp[2] for lamp in LAMPS])
    lamp_rgb = np.array([lamp[3] for lamp in LAMPS])
    glow = np.exp(sharpness * (directions @ lamps.T - 1.0))
    upwards = 0.5 + 0.5 * (directions @ room_to_world.T[1])[:, None]
    radiance = glow @ lamp_rgb + SKY_RGB * upwards + FLOOR_RGB * (1.0 - upwards)
    irradiance = visible_cosine @ (radiance * 4.0 / len(directions)).astype(np.float32)
    seen = (visible_cosine > 0).astype(np.float32) @ glow.astype(np.float32)
    return Lighting(irradiance, seen / glow.sum(axis=0).astype(np.float32), lamps, lamp_rgb)
