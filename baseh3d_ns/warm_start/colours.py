"""Colours learned on a frozen surface: those of a new person before the fit, and the finest ones after it.

Since nothing moves, rays are traced once, and a step asks the colour network only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.detail_grid import DetailGrid
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.warm_start.config import ColourConfig
from baseh3d_ns.warm_start.frozen_hits import Corrections, frozen_colour_loss, trace_frozen, unseen_surface

UNSEEN = 0.02
"""Distance from all points that photos see beyond which a surface point is unseen, in units of the unit ball."""
UNSEEN_RAYS = 1 << 15
"""Rays from everywhere that look for the unseen surface."""


def learn_colours(
    field: HeadField,
    pool: RayPool,
    config: ColourConfig,
    grid_cells: int,
    *,
    detail: bool = False,
    corrections: Corrections | None = None,
) -> None:
    """Train the colour network of `field`, and its feature network where it has one; nothing else.

    Args:
        field: the head.
        pool: rays of the photos.
        config: steps and learning rates.
        grid_cells: cells along an axis of the SDF grid that the rays are traced on.
        detail: also train the colours' detail, where the field has one. Only on a finished surface: colours that can
            explain every pixel no longer say where the surface is wrong.
        corrections: of the views, as a training has found them.
    """
    hits = trace_frozen(field, pool, config.batches, grid_cells, corrections)
    hits = hits[hits.hit]
    if not len(hits):
        CONSOLE.log("No ray in the masks meets the head, so its colours stay: check the masks, or --register True.")
        return
    networks = [*field.colour_network.parameters()]
    if field.feature_network:
        networks += field.feature_network.parameters()
    groups = [{"params": networks, "first": config.learning_rate}]
    unseen = hits.points[:0]
    if detail and field.colour_detail:
        unseen = _unseen(field, hits.points, config, grid_cells)
        groups.append({"params": _opened(field.colour_detail), "first": config.detail_learning_rate})
    optimizer = torch.optim.Adam(groups)
    for step in progress_bar(range(config.steps), desc="Learning the colours", unit="step"):
        for group in optimizer.param_groups:
            group["lr"] = group["first"] * config.lr_final ** (step / config.steps)
        rays = hits[torch.randint(len(hits), (config.points,), device=hits.points.device)]
        features = rays.features
        if field.feature_network:
            features = field.feature_network(field.placement.points(rays.points))
        loss = frozen_colour_loss(field, rays, rays.points, features, config.points, corrections)
        if len(unseen):
            loss = loss + config.unseen_weight * _unseen_detail(field, unseen, config.points // 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    if field.colour_detail:
        field.colour_detail.requires_grad_(False)


def _opened(detail: DetailGrid) -> list[torch.nn.Parameter]:
    """Parameters of a detail that learn, with all its levels open."""
    detail.open_levels(1.0)
    for parameter in detail.learning():
        parameter.requires_grad_(True)
    return detail.learning()


def _unseen_detail(field: HeadField, unseen: Float[Tensor, "n 3"], count: int) -> Float[Tensor, ""]:
    """Mean size of the colours' detail near points that no photo sees."""
    assert field.colour_detail is not None
    points = unseen[torch.randint(len(unseen), (count,), device=unseen.device)]
    near = points + UNSEEN * (torch.rand_like(points) - 0.5)
    return field.colour_detail(field.placement.points(near)).abs().mean()


def _unseen(
    field: HeadField, seen: Float[Tensor, "n 3"], config: ColourConfig, grid_cells: int
) -> Float[Tensor, "m 3"]:
    """Points of the surface that no photo sees; none where their loss is off."""
    if not config.unseen_weight:
        return seen[:0]
    return unseen_surface(field, seen, UNSEEN_RAYS, grid_cells, UNSEEN)
