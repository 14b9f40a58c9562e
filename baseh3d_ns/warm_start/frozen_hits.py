"""What the photos' rays meet of a placed prior, found once, so that many steps can learn from it without tracing."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.rendering.losses import colour_loss
from baseh3d_ns.rendering.sdf_grid import GridTracer

GRID_CELLS = 64
"""Of the SDF grid that is traced on."""


@dataclass(frozen=True)
class SeenRays:
    """Rays, and the point on each: where it meets the surface inside the masks, else where the SDF is least."""

    points: Float[Tensor, "n 3"]
    directions: Float[Tensor, "n 3"]
    """Unit, from the camera."""
    gradients: Float[Tensor, "n 3"]
    """Of the SDF."""
    features: Float[Tensor, "n f"]
    hit: Bool[Tensor, " n"]
    """Meets the surface, and lies inside a mask."""
    inside: Bool[Tensor, " n"]
    """Lies inside a mask."""
    colour: Float[Tensor, "n 3"]
    """What the photo shows, RGB in [0, 1]."""
    weight: Float[Tensor, " n"]
    """As in a training step."""

    @property
    def facing(self) -> Float[Tensor, " n"]:
        """How fast the SDF falls along the ray: the cosine between the surface's normal and the way to the camera."""
        return -(self.gradients * self.directions).sum(-1)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, chosen: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> SeenRays:
        return SeenRays(*(getattr(self, part.name)[chosen] for part in fields(self)))


@torch.no_grad()
def look(field: HeadField, pool: RayPool, batches: int) -> SeenRays:
    """Trace so many of the pool's batches."""
    tracer, parts = GridTracer(GRID_CELLS), []
    tracer.refresh(field.sdf, field.placement.similarity.device)
    for _ in range(batches):
        bundle, batch = pool.draw()
        inside = batch["fg_mask"][:, 0] > 0.5
        traced = tracer.training_points(field.sdf, bundle.origins, bundle.directions, inside)
        points = bundle.origins + traced.t[:, None] * bundle.directions
        _, features, gradients = field.with_gradient(points, create_graph=False)
        seen = (bundle.directions, gradients.detach(), features, traced.hit, inside, batch["image"], batch["weight"])
        parts.append((points, *seen))
    return SeenRays(*(torch.cat(part) for part in zip(*parts, strict=True)))


def colour_difference(
    field: HeadField, rays: SeenRays, points: Float[Tensor, "n 3"], features: Float[Tensor, "n f"], drawn: int
) -> Float[Tensor, ""]:
    """IDR's colour loss of rays that meet the surface at `points`, of `drawn` rays in all."""
    shown = field.colour(points, rays.gradients, -rays.directions, features)
    return colour_loss(shown, rays.colour, rays.weight, drawn)
