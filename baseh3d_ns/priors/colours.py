"""A prior's colours are another person's: the colour network learns the new ones before anything else moves.

The surface stands still meanwhile. So what the rays meet is found once, and a step asks the colour network only: a few
milliseconds where a step of the training takes a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.models.sdf_model import SdfModel
from baseh3d_ns.rendering.losses import colour_loss

BATCHES = 32
"""Of rays as in a training step, whose surface points are learned from."""
POINTS = 1024
"""A step."""
LEARNING_RATE, LAST = 2e-3, 0.5
"""Of Adam, and the fraction of it that the last step has."""


@dataclass(frozen=True)
class SeenPoints:
    """Points of the surface that training rays meet inside the masks."""

    points: Float[Tensor, "n 3"]
    gradients: Float[Tensor, "n 3"]
    """Of the SDF."""
    towards: Float[Tensor, "n 3"]
    """Unit, to the camera."""
    features: Float[Tensor, "n f"]
    colour: Float[Tensor, "n 3"]
    """What the photo shows, RGB in [0, 1]."""
    weight: Float[Tensor, " n"]
    """As in a training step."""


def learn_colours(model: SdfModel, pool: RayPool, steps: int) -> None:
    """Train the colour network of `model` for so many steps; nothing else changes."""
    from tqdm import tqdm

    seen = _look(model, pool)
    if not len(seen.points):
        CONSOLE.log("No ray in the masks meets the prior, so its colours stay: check the masks, or --register True.")
        return
    optimizer = torch.optim.Adam(model.field.colour_network.parameters(), lr=LEARNING_RATE)
    for step in tqdm(range(steps), desc="Learning the colours", unit="step", delay=5.0, leave=False):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * LAST ** (step / steps)
        drawn = torch.randint(len(seen.points), (POINTS,), device=seen.points.device)
        shown = model.field.colour(seen.points[drawn], seen.gradients[drawn], seen.towards[drawn], seen.features[drawn])
        loss = colour_loss(shown, seen.colour[drawn], seen.weight[drawn], POINTS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()


def _look(model: SdfModel, pool: RayPool) -> SeenPoints:
    model.keep_grid_fresh()
    parts = []
    for _ in range(BATCHES):
        bundle, batch = pool.draw()
        inside = batch["fg_mask"][:, 0] > 0.5
        origins, directions = bundle.origins[inside], bundle.directions[inside]
        hits = model.tracer.trace(model.field.sdf, origins, directions)
        points = (origins + hits.t[:, None] * directions)[hits.hit]
        _, features, gradients = model.field.with_gradient(points, create_graph=False)
        colour, weight = batch["image"][inside][hits.hit], batch["weight"][inside][hits.hit]
        parts.append((points, gradients.detach(), -directions[hits.hit], features, colour, weight))
    return SeenPoints(*(torch.cat(part) for part in zip(*parts, strict=True)))
