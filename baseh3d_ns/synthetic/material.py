"""Material of surface points: albedo and highlights, chosen by the attribute columns of `anatomy`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from baseh3d_ns.synthetic.anatomy import CANONICAL, EYEBALL, HAIR, LIPS, MOUTH_CAVITY, under_cloth_mm
from baseh3d_ns.synthetic.hair import inside_hairline_mm, strand_noise
from baseh3d_ns.synthetic.identity import Identity
from baseh3d_ns.synthetic.noise import fractal, noise, smoothstep
from baseh3d_ns.synthetic.skin import blend, brow_weight, eye_colour, lash_weight, linear, lip_colour, skin_colour


@dataclass(frozen=True)
class Material:
    """Material of n points."""

    albedo: Float[np.ndarray, "n 3"]
    """Diffuse albedo, linear RGB."""
    gloss: Float[np.ndarray, " n"]
    """Strength of the highlight."""
    polish: Float[np.ndarray, " n"]
    """Exponent of the highlight (Blinn-Phong)."""


def material_at(attributes: Float[np.ndarray, "n a"], identity: Identity) -> Material:
    """Material of points with the given attributes."""
    n = len(attributes)
    material = Material(np.zeros((n, 3)), np.zeros(n), np.zeros(n))
    canonical = attributes[:, CANONICAL]
    is_hair, is_eye = attributes[:, HAIR] > 0.5, attributes[:, EYEBALL] > 0.5
    is_cloth = (under_cloth_mm(canonical, identity) > 0.0) & ~is_hair
    for chosen, paint in (
        (is_hair, _hair),
        (is_eye, _eye),
        (is_cloth, _cloth),
        (~(is_hair | is_eye | is_cloth), _skin),
    ):
        if chosen.any():
            painted = paint(attributes[chosen], identity)
            material.albedo[chosen], material.gloss[chosen], material.polish[chosen] = painted
    return material


Painted = tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def _skin(attributes: Float[np.ndarray, "n a"], identity: Identity) -> Painted:
    """Skin with lips, brows, lashes, the roots of the hair and the inside of the mouth."""
    canonical = attributes[:, CANONICAL]
    skin = skin_colour(canonical, identity)
    lips = smoothstep(0.25, 0.75, attributes[:, LIPS])
    colour = blend(skin, lip_colour(canonical, identity, skin), lips)
    strands = _strand_colour(canonical, identity)
    colour = blend(colour, strands * 0.75, brow_weight(canonical, identity))
    inside = inside_hairline_mm(canonical, identity.hair, identity.salt)
    roots = smoothstep(-4.0, 4.0, inside + 2.5 * noise(canonical / 1.0, identity.salt + 12))
    colour = blend(colour, strands * 0.85, roots * identity.hair.cover)
    colour = blend(colour, np.array([0.012, 0.008, 0.006]), lash_weight(canonical))
    colour = blend(colour, np.array([0.02, 0.006, 0.005]), attributes[:, MOUTH_CAVITY])
    oily = 0.5 + 0.5 * np.exp(-((canonical[:, 0] / 22.0) ** 2))
    pores = 1.0 + 0.25 * noise(canonical / 1.2, identity.salt + 13)
    gloss = (0.030 * oily * pores) * (1.0 - 0.8 * roots * identity.hair.cover) + 0.012 * lips
    return colour, np.clip(gloss, 0.0, None), 14.0 + 22.0 * lips


def _eye(attributes: Float[np.ndarray, "n a"], identity: Identity) -> Painted:
    """Wet eyeball."""
    n = len(attributes)
    return eye_colour(attributes[:, CANONICAL], identity), np.full(n, 0.5), np.full(n, 160.0)


def _hair(attributes: Float[np.ndarray, "n a"], identity: Identity) -> Painted:
    """Hair shell: streaks along straight strands, sparkle on curls."""
    canonical = attributes[:, CANONICAL]
    curly = identity.hair.curly
    shine = 0.032 * (1.0 - 0.55 * curly)
    streaks = strand_noise(canonical, 1.2, 30.0, identity.salt + 14)
    sparkle = noise(canonical / 1.3, identity.salt + 23)
    return (
        _strand_colour(canonical, identity),
        shine * (1.0 + 0.8 * (1.0 - curly) * streaks + 1.3 * curly * sparkle).clip(0.0),
        np.full(len(canonical), 9.0),
    )


def _strand_colour(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, "n 3"]:
    """Linear RGB of hair with fine and coarse strands, some of them grey."""
    curly, salt = identity.hair.curly, identity.salt
    fine = strand_noise(canonical, 1.3, 24.0, salt + 15, octaves=2)
    coarse = strand_noise(canonical, 6.0, 45.0, salt + 16, octaves=2)
    frizz = fractal(canonical / (1.2 + 0.4 * identity.hair.clump_mm), 2, salt + 17)
    detail = (1.0 - curly) * (0.30 * fine + 0.22 * coarse) + curly * (0.16 * fine + 0.45 * frizz)
    hair = linear(np.array(identity.hair_rgb)) * np.exp(detail)[:, None]
    grey_strands = smoothstep(-0.5, 0.5, identity.grey * 1.8 - 0.9 + 0.45 * (1.0 - curly) * fine + 0.3 * curly * frizz)
    silver = np.array([0.42, 0.42, 0.43]) * np.exp(0.5 * detail)[:, None]
    return blend(hair, silver, grey_strands * float(identity.grey > 0.0))


def _cloth(attributes: Float[np.ndarray, "n a"], identity: Identity) -> Painted:
    """Woven cloth in the pattern of the identity, with a ribbed collar and its seam."""
    canonical, salt = attributes[:, CANONICAL], identity.salt
    x, y, z = canonical.T
    depth = under_cloth_mm(canonical, identity)
    weave = np.sin(2.0 * np.pi * (x + 0.4 * z) / 2.1) * np.sin(2.0 * np.pi * (y + 0.3 * z) / 2.1)
    value = (
        1.0 + 0.13 * weave + 0.12 * fractal(canonical / 2.2, 2, salt + 18) + 0.08 * noise(canonical / 20.0, salt + 19)
    )
    colour = linear(np.array(identity.cloth_rgb)) * np.ones((len(canonical), 1))
    if identity.cloth_pattern == "stripes":
        colour = blend(colour, np.array([0.62, 0.60, 0.56]), smoothstep(0.55, 0.75, np.sin(2.0 * np.pi * depth / 17.0)))
    if identity.cloth_pattern == "melange":
        colour = blend(
            colour, np.array([0.5, 0.5, 0.5]), 0.45 * smoothstep(0.2, 1.0, noise(canonical / 1.4, salt + 20))
        )
    ribs = smoothstep(14.5, 13.0, depth) * (0.85 + 0.15 * np.sin(2.0 * np.pi * np.arctan2(x, z) * 60.0 / (2.0 * np.pi)))
    seam = smoothstep(0.0, 1.2, np.abs(depth - 14.0))
    colour = colour * (value * (1.0 - 0.12 * ribs) * (0.7 + 0.3 * seam))[:, None]
    return colour, np.full(len(canonical), 0.006), np.full(len(canonical), 4.0)
