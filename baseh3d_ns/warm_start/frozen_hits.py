"""Surface points of the photos' rays on a frozen head, traced once, so that many steps learn without tracing."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
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

RAYS = 1 << 13
"""Rays traced at a time."""
NEWTON_CELLS = 0.25
"""Cells of the SDF grid that a Newton step may move a point found on it."""


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
def trace_frozen(field: HeadField, pool: RayPool, batches: int, grid_cells: int) -> FrozenHits:
    """Surface points of so many of the pool's batches, traced on an SDF grid of `grid_cells` cells along an axis."""
    from baseh3d_ns.bars import progress_bar

    tracer, parts = GridTracer(grid_cells), []
    tracer.refresh(field.sdf, field.placement.similarity.device)
    for _ in progress_bar(range(batches), desc="Tracing rays", unit="batch"):
        bundle, batch = pool.draw()
        assert bundle.camera_indices is not None
        in_mask, views = batch["fg_mask"][:, 0] > 0.5, bundle.camera_indices[:, 0]
        traced = tracer.training_points(field.sdf, bundle.origins, bundle.directions, in_mask)
        points = bundle.origins + traced.t[:, None] * bundle.directions
        _, features, gradients = field.with_gradient(points, create_graph=False)
        at_points = (points, bundle.directions, gradients.detach(), features, traced.hit)
        parts.append((*at_points, views, in_mask, batch["image"], batch["weight"]))
    return FrozenHits(*(torch.cat(part) for part in zip(*parts, strict=True)))


@torch.no_grad()
def trace_seen_surface(
    field: HeadField, pool: RayPool, batches: int, grid_cells: int, corrections: Corrections | None = None
) -> FrozenHits:
    """Surface points of the rays inside the masks, of so many of the pool's batches; without those that miss the head.

    Found on an SDF grid of `grid_cells` cells along an axis and a Newton step behind it: for many rays.
    """
    from baseh3d_ns.bars import progress_bar

    tracer, parts = GridTracer(grid_cells), []
    tracer.refresh(field.sdf, field.placement.similarity.device)
    max_move = NEWTON_CELLS * tracer.cell
    rays = [part.split(RAYS) for part in _drawn_in_masks(pool, batches)]
    for origins, directions, views, *photo in progress_bar(list(zip(*rays, strict=True)), desc="Tracing rays"):
        if corrections is not None:
            origins, directions = corrections.rays(origins, directions, views)
        traced = tracer.trace_roughly(field.sdf, origins, directions)
        points = origins + traced.t[:, None] * directions
        sdf, features, gradients = field.with_gradient(points, create_graph=False)
        hits = FrozenHits(points, directions, gradients, features, traced.hit, views, traced.hit, *photo)
        # Where the unit ball cuts the head, points stay on the ball.
        off = torch.where(points.norm(dim=1) < 1.0 - max_move, sdf, 0.0)
        parts.append(replace(hits, points=newton_step(hits, off, max_move))[hits.hit])
    return FrozenHits(*(torch.cat([getattr(hits, part.name) for hits in parts]) for part in fields(FrozenHits)))


def _drawn_in_masks(pool: RayPool, batches: int) -> list[Tensor]:
    """Origins, directions, views, colours and weights of the rays inside the masks of so many of the pool's batches."""
    parts = []
    for _ in range(batches):
        bundle, batch = pool.draw()
        assert bundle.camera_indices is not None
        in_mask = batch["fg_mask"][:, 0] > 0.5
        rays = (bundle.origins, bundle.directions, bundle.camera_indices[:, 0], batch["image"], batch["weight"])
        parts.append([part[in_mask] for part in rays])
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def newton_step(rays: FrozenHits, sdf: Float[Tensor, " n"], max_move: float) -> Float[Tensor, "n 3"]:
    """Points where rays meet the surface near traced points off it: f + grad f . v dt = 0.

    Args:
        sdf: SDF at the traced points.
        max_move: largest |dt|, in units of the unit ball.
    """
    along = (sdf / rays.cos_incidence).clamp(-max_move, max_move)
    return rays.points + along[:, None] * rays.directions


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
