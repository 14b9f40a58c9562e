"""A prior's colours are another person's: the colour network learns the new ones before anything else moves.

The surface stands still meanwhile. So what the rays meet is found once, and a step asks the colour network only: a few
milliseconds where a step of the training takes a hundred.
"""

from __future__ import annotations

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.warm_start.frozen_hits import colour_difference, look

BATCHES = 32
"""Of rays as in a training step, whose surface points are learned from."""
POINTS = 1024
"""A step."""
LEARNING_RATE, LAST = 2e-3, 0.5
"""Of Adam, and the fraction of it that the last step has."""


def learn_colours(field: HeadField, pool: RayPool, steps: int) -> None:
    """Train the colours of `field` for so many steps, and the feature network where it has one; nothing else."""
    from tqdm import tqdm

    seen = look(field, pool, BATCHES)
    seen = seen[seen.hit]
    if not len(seen):
        CONSOLE.log("No ray in the masks meets the prior, so its colours stay: check the masks, or --register True.")
        return
    networks = [field.colour_network, *([field.feature_network] if field.feature_network else [])]
    optimizer = torch.optim.Adam([p for network in networks for p in network.parameters()], lr=LEARNING_RATE)
    for step in tqdm(range(steps), desc="Learning the colours", unit="step", delay=5.0, leave=False):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * LAST ** (step / steps)
        rays = seen[torch.randint(len(seen), (POINTS,), device=seen.points.device)]
        features = rays.features
        if field.feature_network:
            features = field.feature_network(field.placement.points(rays.points))
        loss = colour_difference(field, rays, rays.points, features, POINTS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
