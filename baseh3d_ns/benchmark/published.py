"""Published numbers on H3DS: face / head, mean of the errors in millimetres, lower is better.

Sources: the README of the h3ds package (IDR, H3D-Net and SIRA++; Caselles et al., "Implicit Shape and Appearance Priors
for Few-Shot Full Head Reconstruction", TPAMI 2025), the table of BaseH3D-Net, and Canela et al., "InstantAvatar", 2023.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Mean over scenes, and the standard deviation where it was published."""

    face_mm: float
    head_mm: float
    face_std_mm: float | None = None
    head_std_mm: float | None = None


@dataclass(frozen=True)
class Published:
    """Scores of one method in one publication."""

    scored_with: str
    """Evaluation and scenes; where ours differ, that is a reason for a difference."""
    config: str
    """`config_v1` or `config_v2` of the h3ds package; empty where another evaluation was used."""
    scenes: str
    """Tag of the scenes, or their number."""
    by_views: dict[str, Score]


H3DS_V1 = ("h3ds package, config_v1, the ten scenes tagged h3d-net", "config_v1", "h3d-net")
PRIOR_SWEEP = ("h3ds package, config_v1, scan 3 only", "config_v1", "scan3")


def _by_views(views: tuple[int, ...], numbers: tuple[tuple[float, float], ...]) -> dict[str, Score]:
    return {str(count): Score(*pair) for count, pair in zip(views, numbers, strict=True)}


def _sweep(face_mm: float, head_mm: float) -> Published:
    return Published(*PRIOR_SWEEP, {"3": Score(face_mm, head_mm)})


FIVE = (3, 4, 8, 16, 32)
PUBLISHED: dict[str, Published] = {
    "IDR": Published(
        *H3DS_V1, _by_views(FIVE, ((2.79, 14.58), (1.88, 8.99), (1.83, 8.34), (1.31, 6.37), (1.25, 5.71)))
    ),
    "H3D-Net": Published(
        *H3DS_V1, _by_views(FIVE, ((1.33, 10.52), (1.35, 7.71), (1.18, 6.45), (1.05, 5.36), (1.03, 5.25)))
    ),
    "BaseH3D-Net": Published(*H3DS_V1, {"3": Score(1.48, 10.65, 0.30, 3.42)}),
    "SIRA++": Published(
        "h3ds package, config_v1, probably all 23 scenes",
        "config_v1",
        "23",
        _by_views(FIVE, ((1.13, 10.84), (1.18, 8.07), (1.15, 7.08), (1.00, 6.34), (0.99, 5.79))),
    ),
    "SIRA++ (v2)": Published(
        "h3ds package, config_v2, 59 scenes",
        "config_v2",
        "59",
        _by_views((1, *FIVE), ((1.56, 13.66), (1.18, 9.70), (1.21, 6.09), (1.18, 5.28), (1.08, 4.96), (1.03, 4.71))),
    ),
    "InstantAvatar": Published("its own evaluation", "", "23", {"1": Score(1.50, 12.43), "3": Score(1.39, 9.71)}),
    "prior scan 10, 500": _sweep(1.46, 9.92),
    "prior scan 10, 1000": _sweep(1.87, 7.98),
    "prior scan 10, 2000": _sweep(2.09, 7.49),
    "prior scan 1, 500": _sweep(1.91, 9.96),
    "prior scan 1, 1000": _sweep(1.92, 9.94),
    "prior scan 1, 2000": _sweep(1.91, 8.68),
    "prior scan 2, 500": _sweep(1.26, 7.78),
    "prior scan 2, 1000": _sweep(2.21, 9.06),
    "prior scan 2, 2000": _sweep(2.20, 10.1),
}
"""By the name that a row of a definition gives."""
BASEH3D_SCANS: dict[str, Score] = {
    "scan3": Score(1.26, 7.78),
    "scan6": Score(1.03, 6.22),
    "scan7": Score(1.04, 12.24),
    "scan9": Score(1.88, 13.61),
    "scan10": Score(1.42, 9.06),
    "scan12": Score(1.75, 11.50),
    "scan15": Score(1.91, 7.77),
    "scan16": Score(1.42, 18.67),
    "scan20": Score(1.58, 9.22),
    "scan22": Score(1.53, 10.39),
}
"""Every scan of BaseH3D-Net's table: 3 views, prior of scan 2 after 500 epochs."""
