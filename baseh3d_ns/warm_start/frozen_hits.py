"""Surface points of the photos' rays on a frozen head, traced once, so that many steps learn without tracing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.rendering.losses import colour_loss
from baseh3d_ns.rendering.sdf_grid import GridTracer

RAYS = 1 << 12
"""Rays traced at a time."""


@runtime_checkable
class Corrections(Protocol):
    """Corrections of the views that a training has found."""

    def rays(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        views: Int[Tensor, " rays"],
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        """Rays of the corrected cameras."""

    def colours(self, rgb: Float[Tensor, "rays 3"], views: Int[Tensor, " rays"]) -> Float[Tensor, "rays 3"]:
        """The head's colours as each view shows them."""


@dataclass(frozen=True)
class FrozenHits:
    """Rays, and the point on each: where it meets the surface inside the masks, else where the SDF is smallest."""

    points: Float[Tensor, "n 3"]
    directions: Float[Tensor, "n 3"]
    """Unit, from the camera."""
    gradients: Float[Tensor, "n 3"]
    """SDF gradients at the points."""
    features: Float[Tensor, "n f"]
    """Features for the colour network at the points."""
    hit: Bool[Tensor, " n"]
    """Whether the ray meets the surface and lies inside a mask."""
    views: Int[Tensor, " n"]
    """Number of the ray's view."""
    in_mask: Bool[Tensor, " n"]
    """Whether the ray lies inside a mask."""
    colour: Float[Tensor, "n 3"]
    """The photo's RGB in [0, 1]."""
    weight: Float[Tensor, " n"]
    """Weight in the loss, as in a training step."""

    @property
    def cos_incidence(self) -> Float[Tensor, " n"]:
        """Decrease of the SDF along the ray: the cosine between the normal and the direction to the camera."""
        return -(self.gradients * self.directions).sum(-1)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, chosen: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> FrozenHits:
        return FrozenHits(*(getattr(self, part.name)[chosen] for part in fields(self)))


@torch.no_grad()
def trace_frozen(
    field: HeadField,
    pool: RayPool,
    batches: int,
    grid_cells: int,
    corrections: Corrections | None = None,
    *,
    in_masks_only: bool = False,
) -> FrozenHits:
    """Surface points of so many of the pool's batches, traced on an SDF grid of `grid_cells` cells along an axis.

    Args:
        in_masks_only: rays outside the masks are neither traced nor returned.
    """
    from baseh3d_ns.bars import progress_bar

    tracer, parts = GridTracer(grid_cells), []
    tracer.refresh(field.sdf, field.placement.similarity.device)
    for _ in progress_bar(range(batches), desc="Tracing rays", unit="batch"):
        bundle, batch = pool.draw()
        assert bundle.camera_indices is not None
        in_mask = batch["fg_mask"][:, 0] > 0.5
        kept = in_mask if in_masks_only else torch.ones_like(in_mask)
        origins, directions, views = bundle.origins[kept], bundle.directions[kept], bundle.camera_indices[kept, 0]
        if corrections is not None:
            origins, directions = corrections.rays(origins, directions, views)
        traced = tracer.training_points(field.sdf, origins, directions, in_mask[kept])
        points = origins + traced.t[:, None] * directions
        _, features, gradients = field.with_gradient(points, create_graph=False)
        at_points = (points, directions, gradients.detach(), features, traced.hit)
        parts.append((*at_points, views, in_mask[kept], batch["image"][kept], batch["weight"][kept]))
    return FrozenHits(*(torch.cat(part) for part in zip(*parts, strict=True)))


@torch.no_grad()
def unseen_surface(
    field: HeadField, seen: Float[Tensor, "n 3"], count: int, grid_cells: int, apart: float
) -> Float[Tensor, "m 3"]:
    """Points of the surface farther than `apart` from all that is seen, of so many rays from everywhere."""
    tracer = GridTracer(grid_cells)
    tracer.refresh(field.sdf, seen.device)
    origins = 2.0 * normalize(torch.randn(count, 3, device=seen.device), dim=-1)
    targets = 0.7 * (2.0 * torch.rand(count, 3, device=seen.device) - 1.0)
    directions = normalize(targets - origins, dim=-1)
    points = []
    for part in zip(origins.split(RAYS), directions.split(RAYS), strict=True):
        traced = tracer.trace(field.sdf, *part)
        points.append((part[0] + traced.t[:, None] * part[1])[traced.hit])
    found = torch.cat(points)
    return found[is_apart(found, seen, apart)]


def is_apart(points: Float[Tensor, "n 3"], others: Float[Tensor, "m 3"], apart: float) -> Bool[Tensor, " n"]:
    """Whether points are farther than `apart` from all others."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(others.cpu().numpy()).query(points.cpu().numpy(), distance_upper_bound=apart)
    return torch.from_numpy(np.isinf(distance)).to(points.device)


def frozen_colour_loss(
    field: HeadField,
    rays: FrozenHits,
    points: Float[Tensor, "n 3"],
    features: Float[Tensor, "n f"],
    drawn: int,
    corrections: Corrections | None = None,
) -> Float[Tensor, ""]:
    """IDR's colour loss (eq. 6) of rays that meet the surface at `points`, of `drawn` rays in all."""
    shown = field.colour(points, rays.gradients, -rays.directions, features)
    if corrections is not None:
        shown = corrections.colours(shown, rays.views)
    return colour_loss(shown, rays.colour, rays.weight, drawn)
