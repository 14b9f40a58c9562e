"""Colours of skin, lips, brows and eyes, as functions of canonical coordinates.

Every function takes canonical points [n, 3] in millimetres and returns linear RGB [n, 3] or a weight [n] in 0..1. The
numbers in them are canonical places and lengths in millimetres, and opacities; all were chosen by eye.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from baseh3d_ns.synthetic.anatomy import EYE_CENTRE_MM
from baseh3d_ns.synthetic.identity import Identity
from baseh3d_ns.synthetic.noise import fractal, noise, smoothstep

SKIN_TONES = (
    np.array([[238, 200, 178], [226, 180, 152], [205, 154, 120], [168, 116, 84], [120, 78, 56], [76, 48, 36]]) / 255.0
)
"""sRGB of skin at evenly spaced melanin from 0 to 1."""
EYEBALL_RADIUS_MM, IRIS_RADIUS_MM, PUPIL_RADIUS_MM = 16.45, 6.6, 2.4
"""Radii about the axis of the eye (eyeball: of the sphere) in millimetres; iris and pupil are brought to the identity's
width."""


def linear(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Linear light of sRGB in 0..1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def blend(
    below: Float[np.ndarray, "n 3"], above: Float[np.ndarray, "*n 3"], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Alpha blending: `above` over `below` with the opacity `weight`."""
    return below + (above - below) * weight[:, None]


def skin_colour(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, "n 3"]:
    """Skin with blood, shade of the beard, freckles, moles, pores and (in age) lines and spots."""
    salt, melanin = identity.salt, identity.melanin
    tones = linear(SKIN_TONES)
    base = np.array([np.interp(melanin * 5.0, np.arange(6), tones[:, c]) for c in range(3)])
    colour = np.tile(base, (len(canonical), 1))
    blotches = fractal(canonical / 16.0, 3, salt)
    blood = (_blood(canonical) + 0.12 * blotches) * identity.ruddiness * (1.0 - 0.6 * melanin)
    colour *= 1.0 + np.clip(blood, -0.3, 1.2)[:, None] * np.array([0.04, -0.24, -0.22])
    colour *= 1.0 - 0.16 * _eye_socket(canonical)[:, None] * np.array([0.8, 1.0, 0.9])
    colour *= (1.0 + 0.045 * fractal(canonical / 5.0, 2, salt + 1) + 0.05 * noise(canonical / 1.1, salt + 2))[:, None]
    colour = blend(colour, base * np.array([0.62, 0.48, 0.40]), _spots(canonical, identity))
    colour *= 1.0 - 0.22 * identity.wrinkles * _lines(canonical, salt)[:, None] * np.array([0.8, 1.0, 1.0])
    return _shaven(colour, canonical, identity)


def lip_colour(
    canonical: Float[np.ndarray, "n 3"], identity: Identity, skin: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Lip colour: redder and darker than the skin round them, with fine upright lines."""
    tint = np.array([0.85, 0.60, 0.60]) if identity.is_male else np.array([0.86, 0.50, 0.52])
    tint = 1.0 - (1.0 - tint) * (1.0 - 0.45 * identity.melanin)
    furrows = noise(canonical * np.array([1 / 1.3, 1 / 6.0, 1 / 6.0]), identity.salt + 7)
    return skin * tint * (1.0 + 0.10 * furrows)[:, None]


def brow_weight(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, " n"]:
    """Opacity of the eyebrows: single hairs that lean outwards, densest in the middle."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    along = np.clip((x - 9.0) / 43.0, 0.0, 1.0)
    middle = 17.5 + 5.0 * np.sin(np.pi * along**0.9 * 0.85) - 3.0 * along
    half_height = (5.2 - 3.4 * along**1.5) * (0.75 + 0.5 * identity.brow_weight)
    inside = 1.0 - smoothstep(0.35, 1.15, np.abs(y - middle) / half_height)
    ends = smoothstep(7.0, 13.0, x) * (1.0 - smoothstep(46.0, 53.0, x)) * (z > 40.0)
    lean = np.column_stack([(x - 0.9 * y * (1.0 - along)) / 0.95, (y + 0.5 * x) / 5.0, np.sign(canonical[:, 0]) * 3.0])
    hairs = smoothstep(-0.9, 0.5, noise(lean, identity.salt + 8) + 0.9 * inside - 0.35)
    return inside * ends * hairs * identity.brow_weight


def lash_weight(canonical: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Opacity of the lashes: a dark rim of the lids where they touch the eyeball, stronger above."""
    mirrored = canonical * np.where(canonical[:, :1] < 0, [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    from_eye = mirrored - EYE_CENTRE_MM
    near = 1.0 - smoothstep(EYEBALL_RADIUS_MM + 0.5, EYEBALL_RADIUS_MM + 1.7, np.linalg.norm(from_eye, axis=1))
    return near * (0.35 + 0.5 * smoothstep(-3.0, 2.0, from_eye[:, 1])) * (from_eye[:, 2] > 0.0)


def eye_colour(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, "n 3"]:
    """Eye colour: white with veins at the corners, iris with a dark rim and fibres, pupil."""
    mirrored = canonical * np.where(canonical[:, :1] < 0, [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    from_eye = mirrored - EYE_CENTRE_MM
    across = np.hypot(from_eye[:, 0], from_eye[:, 1])
    angle = np.arctan2(from_eye[:, 1], from_eye[:, 0])
    white = linear(np.array([0.86, 0.83, 0.80])) * (1.0 - 0.10 * smoothstep(8.0, 15.0, across))[:, None]
    white *= 1.0 - smoothstep(9.0, 15.0, across)[:, None] * np.array([0.02, 0.22, 0.20])
    in_iris = across * 2.0 * IRIS_RADIUS_MM / identity.iris_mm
    fibres = noise(np.column_stack([np.cos(angle) * 9.0, np.sin(angle) * 9.0, across * 0.35]), identity.salt + 9)
    iris = linear(np.array(identity.iris_rgb)) * (0.8 + 0.3 * fibres + 0.4 * smoothstep(5.6, 3.0, in_iris))[:, None]
    iris *= (1.0 - 0.65 * smoothstep(5.2, 6.6, in_iris))[:, None]
    colour = blend(white, iris, 1.0 - smoothstep(IRIS_RADIUS_MM - 0.4, IRIS_RADIUS_MM + 0.4, in_iris))
    colour = blend(colour, np.full(3, 0.006), 1.0 - smoothstep(PUPIL_RADIUS_MM - 0.3, PUPIL_RADIUS_MM + 0.3, in_iris))
    # The upper lid and its lashes shade the eye more finely than the lighting's vertices can.
    return colour * (1.0 - 0.55 * smoothstep(2.0, 8.5, from_eye[:, 1]))[:, None]


def beard_region(canonical: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Weight of the beard: jaw, chin and upper lip, not the surroundings of the lips, 0..1."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    cheek_line = -66.0 + 0.85 * smoothstep(18.0, 72.0, x) * 62.0
    jaw = smoothstep(5.0, -5.0, y - cheek_line) * smoothstep(-4.0, 14.0, z) * smoothstep(-136.0, -118.0, y)
    moustache = smoothstep(-50.0, -54.0, y) * (1.0 - smoothstep(22.0, 29.0, x)) * smoothstep(-80.0, -66.0, y)
    return np.clip(np.maximum(jaw, moustache), 0.0, 1.0)


def _blood(canonical: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Weight of blood below the skin: cheeks, nose, ears, chin."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    cheeks = np.exp(-((x - 38.0) ** 2 + (y + 36.0) ** 2 + (z - 82.0) ** 2) / 420.0)
    nose = np.exp(-(x**2 + (y + 40.0) ** 2 + (z - 116.0) ** 2) / 170.0)
    ears = smoothstep(71.0, 82.0, x)
    chin = np.exp(-(x**2 + (y + 100.0) ** 2 + (z - 98.0) ** 2) / 300.0)
    return 0.8 * cheeks + 0.75 * nose + 0.7 * ears + 0.4 * chin


def _eye_socket(canonical: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Weight of the shade in the eye sockets."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    return np.exp(-(((x - 28.0) / 16.0) ** 2 + ((y + 2.0) / 10.0) ** 2)) * smoothstep(60.0, 75.0, z)


def _spots(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, " n"]:
    """Opacity of spots: freckles over nose and cheeks, a few moles, spots of age."""
    upper_face = np.exp(-(((canonical[:, 1] + 22.0) / 26.0) ** 2)) * smoothstep(40.0, 85.0, canonical[:, 2])
    freckles = smoothstep(1.15, 1.6, noise(canonical / 1.9, identity.salt + 3)) * upper_face * identity.freckles
    moles = smoothstep(2.35, 2.6, noise(canonical / 3.2, identity.salt + 4))
    age = smoothstep(1.3, 1.9, noise(canonical / 4.5, identity.salt + 5)) * identity.wrinkles * 0.4
    return np.clip(0.75 * freckles + 0.85 * moles + age, 0.0, 0.9)


def _lines(canonical: Float[np.ndarray, "n 3"], salt: float) -> Float[np.ndarray, " n"]:
    """Weight of lines across the forehead and at the outer corners of the eyes, 0..1."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    wave = y + 1.6 * noise(canonical / 14.0, salt + 10)
    forehead = smoothstep(0.55, 0.95, np.cos(wave * 2.0 * np.pi / 8.5)) * smoothstep(26.0, 34.0, y)
    forehead *= smoothstep(60.0, 50.0, y) * smoothstep(45.0, 30.0, x) * (z > 40.0)
    fan = np.arctan2(y - 2.0, x - 44.0)
    crow = smoothstep(0.3, 0.9, np.cos(fan * 12.0)) * np.exp(-(((np.hypot(x - 52.0, y - 1.0)) / 8.0) ** 2)) * (z > 30.0)
    return np.clip(forehead + 0.8 * crow, 0.0, 1.0)


def _shaven(
    colour: Float[np.ndarray, "n 3"], canonical: Float[np.ndarray, "n 3"], identity: Identity
) -> Float[np.ndarray, "n 3"]:
    """Skin colour with the stubble of a shaven beard."""
    dots = smoothstep(-0.8, 1.2, fractal(canonical / 0.8, 2, identity.salt + 6) + 0.4 * noise(canonical / 7.0, 11.0))
    weight = identity.stubble * beard_region(canonical) * (0.22 + 0.5 * identity.stubble * dots)
    shade = linear(np.array(identity.hair_rgb)) * 0.6 + colour.mean(axis=0) * 0.12
    return blend(colour, shade, weight)
