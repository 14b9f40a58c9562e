"""Colours learned on a frozen surface: those of a new person before the fit, and the finest ones after it.

Since nothing moves, rays are traced once, and a step asks the colour network only.
"""

from __future__ import annotations

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.detail_grid import DetailGrid
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.warm_start.config import ColourConfig
from baseh3d_ns.warm_start.frozen_hits import (
    Corrections,
    FrozenHits,
    frozen_colour_loss,
    is_apart,
    trace_seen_surface,
    unseen_surface,
)
from baseh3d_ns.warm_start.unseen_colours import UnseenColours

UNSEEN = 0.02
"""Distance from all points that photos see beyond which a surface point is unseen, in units of the unit ball."""
GRAZING = 0.2
"""Cosine between normal and ray up to which a photo does not count as seeing: a pixel too many in its mask is wide."""
UNSEEN_RAYS = 1 << 15
"""Rays from everywhere that look for the unseen surface."""


def learn_colours(
    field: HeadField,
    pool: RayPool,
    config: ColourConfig,
    grid_cells: int,
    *,
    detail: bool = False,
    known: HeadField | None = None,
    corrections: Corrections | None = None,
) -> None:
    """Train the colours of `field`: colour network and, where it has one, feature network; detail where asked for.

    Args:
        field: the head.
        pool: rays of the photos.
        config: steps and learning rates.
        grid_cells: cells along an axis of the SDF grid that the rays are traced on.
        detail: also train the colours' detail, where the field has one. Only on a finished surface: colours that can
            explain every pixel no longer say where the surface is wrong. What no photo sees from ahead is learned from
            `known`.
        known: the prior in its own colours, for what no photo sees; None: there, colours stay.
        corrections: of the views, as a training has found them.
    """
    hits = trace_seen_surface(field, pool, config.batches, grid_cells, corrections)
    if not len(hits):
        CONSOLE.log("No ray in the masks meets the head, so its colours stay: check the masks, or --register True.")
        return
    unseen = None
    if detail and config.unseen_weight:
        unseen, hits = _unseen_and_seen(field, known, hits, grid_cells)
    optimizer = _optimizer(field, config, detail)
    for step in progress_bar(range(config.steps), desc="Learning the colours", unit="step"):
        for group in optimizer.param_groups:
            group["lr"] = group["first"] * config.lr_final ** (step / config.steps)
        rays = hits[torch.randint(len(hits), (config.points,), device=hits.points.device)]
        features = rays.features
        if field.feature_network:
            features = field.feature_network(field.placement.points(rays.points))
        loss = frozen_colour_loss(field, rays, rays.points, features, config.points, corrections)
        if unseen:
            loss = loss + config.unseen_weight * unseen.loss(field, config.points // 2 + 1, UNSEEN)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    if field.colour_detail:
        field.colour_detail.requires_grad_(False)


def _optimizer(field: HeadField, config: ColourConfig, detail: bool) -> torch.optim.Optimizer:
    """Adam of the colours, of what features are their own, and of their detail where asked."""
    networks = [*field.colour_network.parameters()]
    if field.feature_network:
        networks += field.feature_network.parameters()
    groups = [{"params": networks, "first": config.learning_rate}]
    if detail and field.colour_detail:
        groups.append({"params": _opened(field.colour_detail), "first": config.detail_learning_rate})
    return torch.optim.Adam(groups)


def _opened(detail: DetailGrid) -> list[torch.nn.Parameter]:
    """Parameters of a detail that learn, with all its levels open."""
    detail.open_levels(1.0)
    for parameter in detail.learning():
        parameter.requires_grad_(True)
    return detail.learning()


def _unseen_and_seen(
    field: HeadField, known: HeadField | None, hits: FrozenHits, grid_cells: int
) -> tuple[UnseenColours | None, FrozenHits]:
    """Colours of the surface that no photo sees from ahead, and the rays to the rest; None and all where all is seen.

    Rays that graze the surface, where no photo sees it from ahead, are left out: their pixels show background as well.
    """
    ahead = hits.cos_incidence > GRAZING
    facing = hits[ahead]
    unseen = unseen_surface(field, facing.points, UNSEEN_RAYS, grid_cells, UNSEEN) if len(facing) else facing.points
    if not len(unseen):
        return None, hits
    seen = ahead.clone()
    seen[~ahead] = ~is_apart(hits.points[~ahead], facing.points, UNSEEN)
    return UnseenColours.find(field, known, facing, unseen), hits[seen]
