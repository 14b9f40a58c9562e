"""Settings of the warm start: colours and latent learned on the prior's surface before the networks may move."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import tyro
from annotated_types import Ge, Le

from baseh3d_ns.bounds import Count, CountOrNone, GridCells, LearningRate, Positive, Share, SignedFraction, Weight


@dataclass
class ColourConfig:
    """Settings of the colours that are learned with the surface frozen."""

    steps: CountOrNone = 0
    """Adam steps on the colours alone; 0 leaves them out. After the training of more than three views, times the square
    root of a third of their number."""
    batches: Count = 32
    """Batches of rays, of the training's size, that are traced once and learned from; times the same root."""
    points: Count = 1024
    """Surface points a step."""
    learning_rate: LearningRate = 2e-3
    """Adam's learning rate of the networks at the first step; falls exponentially."""
    detail_learning_rate: LearningRate = 1e-2
    """The same of the colour detail's grid, whose rows are seldom met."""
    lr_final: Share = 0.5
    """Learning rates at the last step, as a fraction of the first."""
    unseen_weight: Weight = 0.3
    """Weight of the colours that are expected where no photo sees, beside those of the photos; only on a finished
    surface (--finish-colours)."""

    def for_views(self, views: int) -> ColourConfig:
        """The same settings for so many views: every one shows some of the head that no other does."""
        factor = max(1.0, views / 3) ** 0.5
        return replace(self, steps=round(factor * self.steps), batches=round(factor * self.batches))


@dataclass
class StartColourConfig(ColourConfig):
    """Settings of the colours that are learned before the fit."""

    steps: CountOrNone = 0
    """Adam steps on the colours alone; 0 leaves them out."""
    batches: Count = 32
    """Batches of rays, of the training's size, that are traced once and learned from."""
    # Of the finished surface: not in --help.
    detail_learning_rate: tyro.conf.Suppress[LearningRate] = 1e-2
    unseen_weight: tyro.conf.Suppress[Weight] = 0.3


@dataclass
class UnseenShapeConfig:
    """Settings of the shape where a single photo sees nothing, while a shape space's latent is fitted to it."""

    weight: Weight = 300.0
    """Weight of the mean square distance by which the SDF near the unseen surface leaves the range of the nearest
    heads, in units of the prior's unit ball; 0 leaves it out. Several photos need no such help."""
    heads: Count = 100
    """Heads of the shape space that count as nearest, by their surface where the photo sees it; at most a quarter of
    them."""
    left_out: Annotated[float, Ge(0.0), Le(0.5)] = 0.25
    """Share of them that may lie beyond the range, at each end."""
    margin: Weight = 0.02
    """Width by which the range is wider at each end, in units of the prior's unit ball: only what is far from all of
    them is held, a bun and not a haircut."""
    points: Count = 600
    """Points of the unseen and of the seen surface, at most."""
    outside: Positive = 0.12
    """Distance from the unseen surface of as many other points, in units of the new head's unit ball: a lump shows
    there first."""


@dataclass
class LatentFitConfig:
    """Settings of the fit of a shape space's latent and placement to the photos (with --register)."""

    steps: CountOrNone = 0
    """Adam steps on latent, placement and colours, with the decoder frozen; 0 leaves them out."""
    trace_steps: Count = 40
    """Steps between two tracings of the rays."""
    batches: Count = 8
    """Batches of rays, of the training's size, that are traced each time."""
    rays: Count = 1024
    """Rays a step."""
    components: Count = 48
    """Principal components of the shape space's latents that are fitted."""
    latent_learning_rate: LearningRate = 0.1
    """Adam's learning rate of the PCA coefficients; falls linearly to 0."""
    placement_learning_rate: LearningRate = 3e-3
    """Adam's learning rate of the placement; falls linearly to 0."""
    colour_learning_rate: LearningRate = 2e-3
    """Adam's learning rate of the colour network at the first step; falls exponentially."""
    colour_lr_final: Share = 0.5
    """The colours' learning rate at the last step, as a fraction of the first."""
    latent_weight: Weight = 3e-4
    """Weight of the squared latent, in standard deviations from the mean head, divided by the number of views."""
    mask_weight: Weight = 100.0
    """Weight of the silhouette's cross entropy, as in IDR."""
    sharpness: tuple[Positive, Positive] = (50.0, 200.0)
    """Sharpness of the soft silhouettes, per radius of the prior's unit ball, at the first and last step."""
    min_cos_incidence: SignedFraction = 0.15
    """Cosine between normal and ray below which a surface point is ignored: grazing rays say little of where it is."""
    max_move: Positive = 0.05
    """Distance that a surface point may move along its ray between two tracings, in units of the unit ball."""
    unseen: UnseenShapeConfig = field(default_factory=UnseenShapeConfig)
    """Shape where a single photo sees nothing."""


@dataclass
class WarmStartConfig:
    """Settings of the colours and the latent that are learned before the first training step."""

    grid_cells: GridCells = 64
    """Cells along an axis of the SDF grid that the rays are traced on."""
    colours: StartColourConfig = field(default_factory=StartColourConfig)
    """Colours first, on the prior's surface: its own are another person's."""
    latent: LatentFitConfig = field(default_factory=LatentFitConfig)
    """Then a shape space's latent, placement and colours."""
