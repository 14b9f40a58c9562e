"""Shape where a single photo sees nothing: as those heads of the shape space have it that are like the placed one.

A latent that explains a face brings some back of the head with it, and what the photo does not show may be anything: a
bun behind short hair, lumps beside the neck. So the surface there is kept within the range of the nearest neighbours,
those heads that the space was learned from whose surface is nearest to the placed head's where the photo sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.placing.candidate import above_neck
from baseh3d_ns.warm_start.config import UnseenShapeConfig
from baseh3d_ns.warm_start.frozen_hits import unseen_surface

RAYS = 1 << 14
"""Rays from everywhere that look for the unseen surface."""
APART = 0.05
"""Distance from all points that the photo sees beyond which a surface point is unseen, in units of the unit ball."""

MOST_OF_SPACE = 0.25
"""Share of a small space's heads that may count as nearest."""


@dataclass(frozen=True)
class UnseenRange:
    """Points near the unseen surface, and the SDF that most of the nearest heads have there."""

    points: Float[Tensor, "n 3"]
    """In the networks' frame."""
    low: Float[Tensor, " n"]
    high: Float[Tensor, " n"]

    @classmethod
    @torch.no_grad()
    def find(
        cls,
        field: HeadField,
        latents: Float[Tensor, "heads l"],
        seen: Float[Tensor, "s 3"],
        config: UnseenShapeConfig,
        neck_mm: float,
        grid_cells: int,
    ) -> UnseenRange | None:
        """The range of the heads whose surface is nearest to the placed head's where the photo sees it.

        None where the photo sees nothing of the head above the neck, or all of it.

        Args:
            field: a shape space, placed.
            latents: latents of the heads that it was learned from.
            seen: surface points that the photo sees, in the unit frame.
            config: numbers of points and heads, and how many of these may be left out.
            neck_mm: height below which a bust may end anywhere.
            grid_cells: cells along an axis of the grid that rays are traced on.
        """
        assert field.latent is not None
        latents = latents.to(seen)
        unseen = _some(unseen_surface(field, seen, RAYS, grid_cells, APART), config.points)
        _, _, gradient = field.with_gradient(unseen, create_graph=False)
        beside = unseen + config.outside * normalize(gradient, dim=-1)
        points = _above_neck(field, torch.cat([unseen, beside]), neck_mm)
        shown = _some(_above_neck(field, seen, neck_mm), config.points)
        if not len(points) or not len(shown):
            return None
        own = field.sdf_network(shown, field.latent[None])[:, 0]
        distance = (_sdf_of_heads(field, shown, latents) - own).abs().mean(dim=1)
        nearest = latents[distance.argsort()[: min(config.heads, ceil(MOST_OF_SPACE * len(latents)))]]
        values = _sdf_of_heads(field, points, nearest)
        low, high = values.quantile(config.left_out, dim=0), values.quantile(1.0 - config.left_out, dim=0)
        return cls(points, low - config.margin, high + config.margin)

    def loss(self, field: HeadField, latent: Float[Tensor, " l"], count: int) -> Float[Tensor, ""]:
        """Mean square of the distance out of the range at so many random points of a head."""
        chosen = torch.randint(len(self.points), (count,), device=latent.device)
        sdf = field.sdf_network(self.points[chosen], latent[None])[:, 0]
        return ((self.low[chosen] - sdf).relu() + (sdf - self.high[chosen]).relu()).square().mean()


def _above_neck(field: HeadField, points: Float[Tensor, "n 3"], neck_mm: float) -> Float[Tensor, "m 3"]:
    """Those of the points that lie above the neck, in the networks' frame."""
    placed = field.placement.points(points)
    return placed[above_neck(placed, neck_mm)]


def _some(points: Float[Tensor, "n 3"], count: int) -> Float[Tensor, "m 3"]:
    """At most so many random ones of the points."""
    return points[torch.randperm(len(points), device=points.device)[:count]]


def _sdf_of_heads(
    field: HeadField, points: Float[Tensor, "n 3"], latents: Float[Tensor, "heads l"]
) -> Float[Tensor, "heads n"]:
    """SDF of every head at every point, in units of the networks' frame."""
    return torch.stack([field.sdf_network(points, latent[None])[:, 0] for latent in latents])
