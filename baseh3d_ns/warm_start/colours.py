"""Colour warm-up: the colour network learns the new person's colours before anything else moves.

The surface is frozen meanwhile. So rays are traced once, and a step asks the colour network only.
"""

from __future__ import annotations

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.warm_start.config import ColourWarmUpConfig
from baseh3d_ns.warm_start.frozen_hits import frozen_colour_loss, trace_frozen


def warm_up_colours(field: HeadField, pool: RayPool, config: ColourWarmUpConfig, grid_cells: int) -> None:
    """Train the colour network of `field`, and its feature network where it has one; nothing else."""
    from tqdm import tqdm

    hits = trace_frozen(field, pool, config.batches, grid_cells)
    hits = hits[hits.hit]
    if not len(hits):
        CONSOLE.log("No ray in the masks meets the prior, so its colours stay: check the masks, or --register True.")
        return
    networks = [field.colour_network, *([field.feature_network] if field.feature_network else [])]
    optimizer = torch.optim.Adam([p for network in networks for p in network.parameters()], lr=config.learning_rate)
    for step in tqdm(range(config.steps), desc="Learning the colours", unit="step", delay=2.0, leave=False):
        optimizer.param_groups[0]["lr"] = config.learning_rate * config.lr_final ** (step / config.steps)
        rays = hits[torch.randint(len(hits), (config.points,), device=hits.points.device)]
        features = rays.features
        if field.feature_network:
            features = field.feature_network(field.placement.points(rays.points))
        loss = frozen_colour_loss(field, rays, rays.points, features, config.points)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
