"""Identity of a subject: everything that varies from head to head, drawn from (seed, index) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from baseh3d_ns.synthetic.hair_style import STYLES, HairStyle

HEAD_PREFIXES = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "nose")
"""First words of the local shape changes of `anny` that are varied."""
QUIET_CHANGES = (
    "trans-out",
    "angle-out",
    "triangle",
    "head-trans",
    "neck-trans",
    "neck-scale-vert",
    "nubian",
    "compression",
)
"""Local changes that soon look wrong: drawn with `QUIET_SPREAD`."""
LOCAL_SPREAD, QUIET_SPREAD = 0.2, 0.07
"""Standard deviations of local changes (their full range is -1..1)."""
SIDE_SPREAD, LARGEST_CHANGE = 0.05, 0.6
"""Standard deviation of the difference between left and right, and bound of any local change."""
SKULL_CHANGES = ("head-scale-depth-incr", "head-back-scale-depth-incr")
"""Local changes of the length of the skull."""
SKULL_MEAN_MALE, SKULL_MEAN_FEMALE = -0.45, -0.1
"""Means of `SKULL_CHANGES`: the skulls of the body model are 219 mm (men) and 194 mm (women) long in the mean, people's
are shorter (a table of head lengths has 195 and 180 mm for British adults); these means give 201 and 190 mm."""
CLOTH_COLOURS = (
    (32, 48, 92),
    (128, 32, 38),
    (60, 62, 66),
    (206, 204, 196),
    (48, 84, 64),
    (24, 24, 28),
    (150, 118, 74),
    (86, 110, 148),
)
"""sRGB, 0..255."""
IRIS_COLOURS = ((58, 36, 20), (82, 52, 26), (98, 84, 46), (74, 100, 70), (92, 122, 150))
"""sRGB, 0..255; the first two go with dark skin."""
IRIS_MM, IRIS_SPREAD_MM = 11.7, 0.5
"""Mean and standard deviation of the width of people's irises (Vakunov and Lagun, "MediaPipe Iris", Google Research
2020), which does not follow the size of the head."""
IRIS_STREAM = 8
"""Stream of `identity_rng` for the width of the irises."""


@dataclass(frozen=True)
class Identity:
    """One subject: shape parameters of the body model, and appearance."""

    is_male: bool
    """Sex, for body, hair and beard."""
    phenotypes: dict[str, float]
    """Phenotype parameters of `anny`, 0..1."""
    local_changes: dict[str, float]
    """Local shape changes of `anny`, -1..1."""
    melanin: float
    """Darkness of the skin: 0 very light, 1 very dark."""
    hair: HairStyle
    """Shape of the hair."""
    hair_rgb: tuple[float, float, float]
    """sRGB in 0..1."""
    grey: float
    """Share of grey hair, 0..1."""
    iris_rgb: tuple[float, float, float]
    """sRGB in 0..1."""
    iris_mm: float
    """Width of the irises in millimetres."""
    freckles: float
    """Opacity of freckles, 0..1."""
    stubble: float
    """Density of the beard: 0 clean-shaven, 1 full dark stubble."""
    ruddiness: float
    """Strength of blood in the skin, 0..1."""
    brow_weight: float
    """Density of the eyebrows, 0..1."""
    wrinkles: float
    """Strength of wrinkles and spots of age, 0..1."""
    cloth_rgb: tuple[float, float, float]
    """sRGB in 0..1."""
    cloth_pattern: str
    """`plain`, `stripes` or `melange`."""
    neckline_drop_mm: float
    """Drop of the front of the collar in millimetres."""
    salt: float
    """Offset of every noise field, so that no two subjects share a freckle."""


def identity_rng(seed: int, index: int, stream: int) -> np.random.Generator:
    """Random generator of subject `index`; a stream for each purpose, so that no draw shifts another."""
    return np.random.default_rng([seed, index, stream])


def _spread(seed: int, index: int) -> Float[np.ndarray, " 4"]:
    """Four numbers in 0..1, evenly spread over consecutive subjects (R-sequences): few subjects cover the range."""
    steps = np.array([0.618034, 0.754878, 0.569840, 0.819173])
    return (np.random.default_rng([seed, 7]).random(4) + index * steps) % 1.0


def _pick(names: Sequence[str], odds: Sequence[float], at: float) -> str:
    """Name drawn by its odds, at the quantile `at` (0..1)."""
    return names[int(np.searchsorted(np.cumsum(odds) / np.sum(odds), at).clip(0, len(names) - 1))]


def draw_identity(seed: int, index: int, local_change_labels: Sequence[str]) -> Identity:
    """Identity of subject `index` of `seed`; sexes mostly alternate, so that even a few subjects differ much."""
    rng = identity_rng(seed, index, 0)
    is_male = (index + int(rng.random() < 0.15)) % 2 == 0
    style_at, colour_at, age_at, cloth_at = _spread(seed, index)
    age = float(np.interp(age_at, [0.0, 0.65, 1.0], [0.6, 0.75, 0.98]))
    wrinkles = float(np.clip((age - 0.7) / 0.28, 0.0, 1.0))
    ancestry = rng.dirichlet([0.35, 0.35, 0.5])
    melanin = float(np.clip(ancestry @ [0.78, 0.36, 0.2] + rng.normal(0.0, 0.07), 0.03, 0.95))
    phenotypes = {
        # anny's 0 is male, MakeHuman's 1.
        "gender": float(rng.uniform(0.0, 0.15) if is_male else rng.uniform(0.85, 1.0)),
        "age": age,
        "muscle": float(rng.uniform(0.35, 0.75) if is_male else rng.uniform(0.3, 0.55)),
        "weight": float(rng.beta(2.5, 2.5) * 0.7 + 0.15),
        "height": 0.5,
        "proportions": float(rng.uniform(0.5, 0.9)),
        "cupsize": 0.5,
        "firmness": 0.5,
        **dict(zip(("african", "asian", "caucasian"), map(float, ancestry), strict=True)),
    }
    return Identity(
        is_male=is_male,
        phenotypes=phenotypes,
        local_changes=_draw_local_changes(rng, local_change_labels, is_male),
        melanin=melanin,
        hair=_draw_hair(rng, is_male, wrinkles, float(ancestry[0]), style_at),
        hair_rgb=_hair_colour(melanin, colour_at),
        grey=float(np.clip(wrinkles * rng.uniform(0.3, 1.3), 0.0, 0.95)) if wrinkles > 0.25 else 0.0,
        iris_rgb=_srgb(IRIS_COLOURS[int(rng.integers(0, 2 if melanin > 0.42 else len(IRIS_COLOURS)))]),
        iris_mm=float(identity_rng(seed, index, IRIS_STREAM).normal(IRIS_MM, IRIS_SPREAD_MM)),
        freckles=float(rng.beta(1.0, 3.0) * (1.0 - melanin)),
        stubble=float(rng.beta(1.2, 1.4)) if is_male else 0.0,
        ruddiness=float(rng.uniform(0.4, 1.0)),
        brow_weight=float(rng.uniform(0.75, 1.0) if is_male else rng.uniform(0.5, 0.8)),
        wrinkles=wrinkles,
        cloth_rgb=_srgb(CLOTH_COLOURS[int(cloth_at * len(CLOTH_COLOURS))]),
        cloth_pattern=str(rng.choice(["plain", "stripes", "melange"])),
        neckline_drop_mm=float(rng.choice([0.0, 8.0, 30.0])),
        salt=float(rng.uniform(0.0, 50.0)),
    )


def _draw_local_changes(rng: np.random.Generator, labels: Sequence[str], is_male: bool) -> dict[str, float]:
    """Local shape changes by label; left and right differ little, since faces are nearly symmetric."""
    changes: dict[str, float] = {}
    for label in labels:
        stem = label[2:] if label[:2] in ("l-", "r-") else label
        if stem.split("-")[0] not in HEAD_PREFIXES:
            continue
        spread = QUIET_SPREAD if any(quiet in stem for quiet in QUIET_CHANGES) else LOCAL_SPREAD
        mean = (SKULL_MEAN_MALE if is_male else SKULL_MEAN_FEMALE) if stem in SKULL_CHANGES else 0.0
        shared = changes.get("l-" + stem, float(rng.normal(mean, spread)))
        changes[label] = float(np.clip(shared + rng.normal(0.0, SIDE_SPREAD), -LARGEST_CHANGE, LARGEST_CHANGE))
    return changes


def _draw_hair(rng: np.random.Generator, is_male: bool, wrinkles: float, african: float, at: float) -> HairStyle:
    """Style by the odds of sex, age and ancestry, of random fullness, length and parting."""
    if is_male:
        names, odds = (
            ["bald", "buzz", "short", "crop", "curly", "bob"],
            [0.10 + 0.2 * wrinkles, 0.2, 0.3, 0.2, 0.15, 0.05],
        )
    else:
        names, odds = ["buzz", "short", "curly", "bob", "long", "bun"], [0.03, 0.12, 0.2, 0.25, 0.25, 0.15]
    if african > 0.6:
        odds = [
            odd * (2.5 if name in ("buzz", "curly", "crop", "bun") else 0.1)
            for name, odd in zip(names, odds, strict=True)
        ]
    style = STYLES[_pick(names, odds, at)]
    fuller = float(rng.uniform(0.8, 1.25))
    recede = style.recede_deg + (float(rng.uniform(0.0, 4.0 + 14.0 * wrinkles)) if is_male else 0.0)
    return replace(
        style,
        top_mm=style.top_mm * fuller,
        side_mm=style.side_mm * fuller,
        clump_mm=style.clump_mm * float(rng.uniform(0.8, 1.2)),
        curly=max(style.curly, 0.9 if african > 0.6 else 0.0),
        recede_deg=recede,
        length_mm=style.length_mm * float(rng.uniform(0.85, 1.1)),
        part=float(rng.uniform(0.6, 1.0) * (rng.random() < 0.5) * (style.curly < 0.3)),
    )


def _hair_colour(melanin: float, at: float) -> tuple[float, float, float]:
    """sRGB of hair in 0..1, from fair to black, and red; dark skin comes with dark hair."""
    colours = [(190, 156, 104), (62, 42, 29), (126, 62, 30), (40, 31, 26), (150, 112, 68), (96, 64, 40)]
    dark = [(40, 31, 26), (62, 42, 29)]
    chosen = dark if melanin > 0.4 else colours
    return _srgb(chosen[int(at * len(chosen))])


def _srgb(rgb: Sequence[int]) -> tuple[float, float, float]:
    """sRGB of 0..255 in 0..1."""
    return (rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0)
