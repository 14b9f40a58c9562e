"""The head of a shape space that explains the photos: latent, placement and colours, before the networks may move.

Placing (`registration.py`) knows silhouettes and faces only. Here IDR's colour and mask losses (Yariv et al. 2020,
eq. 6 and 7) say how latent and placement must change, while the network that decodes the latent stands still, as in the
first stage of H3D-Net (Ramon et al. 2021, section 3.2). What the rays meet is found once a round; within it a surface
point moves along its ray by one Newton step, and the mask loss asks where the SDF was least. So a step has no tracing
and no second derivative.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.heads.latent_pca import LikelyLatents
from baseh3d_ns.placing.registration import NECK, SIZE_WEIGHT
from baseh3d_ns.rendering.losses import mask_loss
from baseh3d_ns.warm_start.frozen_hits import SeenRays, colour_difference, look

ROUND = 40
"""Steps between two looks at what the rays meet."""
BATCHES = 8
"""Of rays that a round learns from."""
RAYS = 1024
"""A step."""
DIRECTIONS = 48
"""Of the latents, those that vary most."""
CODES_RATE, PLACE_RATE, COLOURS_RATE, COLOURS_LAST = 0.1, 3e-3, 2e-3, 0.5
"""Learning rates of Adam: the first two fall to nothing, the colours' to that fraction of itself."""
CODES_WEIGHT = 3e-4
"""Of the squared standard deviations that a head has gone along the directions, divided by the number of views."""
MASK_WEIGHT, SHARPNESS = 100.0, (50.0, 200.0)
"""Of the soft silhouettes, at the first and last step."""
GRAZING = 0.15
"""A ray that meets the surface at less than this cosine says little of where it is."""
FARTHEST = 0.05
"""A surface point moves by no more within a round, in units of the unit ball (7 mm)."""


def fit_latent(
    field: HeadField, centre: Float[Tensor, " l"], latents: Float[Tensor, "heads l"], pool: RayPool, steps: int
) -> None:
    """Change `field.latent`, `field.placement` and the colour network so that the head explains the photos.

    Args:
        field: a shape space, placed, its colours learned.
        centre: the mean head's latent.
        latents: those of the heads that the space was learned from; they say what is likely.
        pool: rays of the new head's photos.
        steps: of Adam.
    """
    from tqdm import tqdm

    assert field.latent is not None
    similarity, log_scale = field.placement.similarity, field.placement.similarity[0].clone()
    likely = LikelyLatents.of(latents, centre.to(similarity), DIRECTIONS)
    codes = likely.codes(field.latent.detach()).requires_grad_(True)
    similarity.requires_grad_(True)
    field.sdf_network.requires_grad_(False)
    groups = ([codes], [similarity], list(field.colour_network.parameters()))
    optimizer = torch.optim.Adam([{"params": group} for group in groups])
    views = len(pool.rays.origins)
    for step in tqdm(range(steps), desc="Fitting the latent", unit="step", delay=2.0, leave=False):
        done = step / steps
        if step % ROUND == 0:
            field.latent.data = likely.at(codes).detach()
            seen = look(field, pool, max(BATCHES, views) if pool.one_view else BATCHES)
        rates = (CODES_RATE * (1.0 - done), PLACE_RATE * (1.0 - done), COLOURS_RATE * COLOURS_LAST**done)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        rays = seen[torch.randint(len(seen), (RAYS,), device=similarity.device)]
        loss = _photo_loss(field, likely.at(codes), rays, SHARPNESS[0] ** (1.0 - done) * SHARPNESS[1] ** done)
        # Only the size is held: of a turn by ten degrees, placing without the colours falls one to three short.
        loss = loss + CODES_WEIGHT / views * codes.square().sum() + SIZE_WEIGHT * (similarity[0] - log_scale).square()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    similarity.requires_grad_(False)
    field.sdf_network.requires_grad_(True)
    optimizer.zero_grad()
    field.latent.data = likely.at(codes).detach()
    CONSOLE.log(
        f"Fitted the latent: a head {float(codes.detach().norm()):.1f} standard deviations from the mean one (those "
        f"learned from: {float(likely.codes(latents.to(codes)).norm(dim=-1).median()):.1f})."
    )


def _photo_loss(field: HeadField, latent: Float[Tensor, " l"], rays: SeenRays, sharpness: float) -> Float[Tensor, ""]:
    """IDR's colour and mask losses, as the latent and the placement change them."""
    placed = field.placement.points(rays.points)
    output = field.sdf_network(placed, latent[None])
    sdf, features = output[:, 0], output[:, 1:].detach()
    meets = rays.hit & (rays.facing > GRAZING)
    points = surface_now(rays[meets], sdf[meets] / field.placement.scale)
    colour = colour_difference(field, rays[meets], points, features[meets], len(rays))
    # Where a bust ends says nothing about the head.
    misses = ~rays.hit & (placed[:, 1] > NECK)
    mask = mask_loss(sdf[misses], rays.inside[misses], rays.weight[misses], sharpness, len(rays))
    return colour + MASK_WEIGHT * mask


def surface_now(rays: SeenRays, sdf: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Where rays meet a surface that has moved since they were traced: f + grad f . v dt = 0.

    Args:
        sdf: of the present head, at the traced points.
    """
    along = (sdf / rays.facing).clamp(-FARTHEST, FARTHEST)
    return rays.points + along[:, None] * rays.directions
