"""Latent fit: the head of a shape space that explains the photos, before the networks may move.

Placing (`placing/registration.py`) knows silhouettes and faces only. Here IDR's colour and mask losses (Yariv et al.
2020, eq. 6 and 7) change latent and placement while the decoder is frozen, as in the first stage of H3D-Net (Ramon et
al. 2021, section 3.2). Rays are traced every few dozen steps; in between a surface point moves along its ray by one
Newton step, and the mask loss asks where the SDF was smallest. So a step has no tracing and no second derivative.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.heads.latent_pca import LatentPca
from baseh3d_ns.placing.candidate import above_neck
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.correspondences import FaceCorrespondences
from baseh3d_ns.rendering.losses import mask_loss
from baseh3d_ns.warm_start.config import LatentFitConfig
from baseh3d_ns.warm_start.frozen_hits import FrozenHits, frozen_colour_loss, newton_step, trace_frozen
from baseh3d_ns.warm_start.unseen_shape import UnseenRange


def fit_latent(
    field: HeadField,
    mean: Float[Tensor, " l"],
    latents: Float[Tensor, "heads l"],
    pool: RayPool,
    config: LatentFitConfig,
    placing: PlacingConfig,
    face: FaceCorrespondences | None,
    grid_cells: int,
) -> None:
    """Change `field.latent`, `field.placement` and the colour network so that the head explains the photos.

    Args:
        field: a shape space, placed, its colours learned.
        mean: latent of the mean head.
        latents: latents of the heads that the space was learned from.
        pool: rays of the new head's photos.
        config: steps, learning rates, weights.
        placing: where the neck ends, and how much size and rays through landmarks are held.
        face: landmarks by which the space was placed.
        grid_cells: cells along an axis of the grid that rays are traced on.
    """
    assert field.latent is not None
    views, similarity = len(pool.rays.origins), field.placement.similarity
    log_scale = similarity[0].clone()
    pca = LatentPca.fit(latents, mean.to(similarity), config.components)
    coefficients = pca.encode(field.latent.detach()).requires_grad_(True)
    learned = ([coefficients], [similarity], list(field.colour_network.parameters()))
    optimizer = torch.optim.Adam([{"params": parameters} for parameters in learned])
    unseen: UnseenRange | None = None
    with _frozen_decoder(field):
        for step in progress_bar(range(config.steps), desc="Fitting the latent", unit="step"):
            done = step / config.steps
            if step % config.trace_steps == 0:
                field.latent.data = pca.decode(coefficients).detach()
                hits = trace_frozen(field, pool, max(config.batches, views if pool.one_view else 1), grid_cells)
                unseen = unseen or _unseen_range(field, latents, hits, pool, config, placing, grid_cells)
            _set_learning_rates(optimizer, config, done)
            rays = hits[torch.randint(len(hits), (config.rays,), device=similarity.device)]
            latent = pca.decode(coefficients)
            loss = _photo_loss(field, latent, rays, done, config, placing.neck_mm)
            loss = loss + config.latent_weight / views * coefficients.square().sum()
            loss = loss + _pose_penalty(field, log_scale, face, placing)
            loss = loss + (config.unseen.weight * unseen.loss(field, latent, config.rays // 4 + 1) if unseen else 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.zero_grad()
    field.latent.data = pca.decode(coefficients).detach()
    _log_likelihood(coefficients.detach(), pca.encode(latents.to(coefficients)))


def _unseen_range(
    field: HeadField,
    latents: Float[Tensor, "heads l"],
    hits: FrozenHits,
    pool: RayPool,
    config: LatentFitConfig,
    placing: PlacingConfig,
    grid_cells: int,
) -> UnseenRange | None:
    """Range of what a single photo does not show; None with several photos, or switched off."""
    if len(pool.rays.origins) > 1 or not config.unseen.weight:
        return None
    return UnseenRange.find(field, latents, hits.points[hits.hit], config.unseen, placing.neck_mm, grid_cells)


def _pose_penalty(
    field: HeadField, log_scale: Float[Tensor, ""], face: FaceCorrespondences | None, placing: PlacingConfig
) -> Float[Tensor, ""]:
    """Penalty on another size, and on landmarks off their rays; placing left some of the rotation to be found."""
    penalty = placing.size_weight * (field.placement.similarity[0] - log_scale).square()
    if face and placing.face.ray_weight > 0:
        penalty = penalty + placing.face.ray_weight * face.ray_loss(field.placement)
    return penalty


def _log_likelihood(coefficients: Float[Tensor, " k"], learned_from: Float[Tensor, "heads k"]) -> None:
    """Log the fitted head's distance from the mean head beside that of the heads the space was learned from."""
    CONSOLE.log(
        f"Fitted the latent: a head {float(coefficients.norm()):.1f} standard deviations from the mean one "
        f"(heads that the space was learned from: {float(learned_from.norm(dim=-1).median()):.1f} in the median)."
    )


def _set_learning_rates(optimizer: torch.optim.Optimizer, config: LatentFitConfig, done: float) -> None:
    """Learning rates of latent, placement and colours after that fraction of the steps."""
    rates = (
        config.latent_learning_rate * (1.0 - done),
        config.placement_learning_rate * (1.0 - done),
        config.colour_learning_rate * config.colour_lr_final**done,
    )
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


@contextmanager
def _frozen_decoder(field: HeadField) -> Iterator[None]:
    """Context in which the placement learns and the SDF network does not."""
    field.placement.similarity.requires_grad_(True)
    field.sdf_network.requires_grad_(False)
    try:
        yield
    finally:
        field.placement.similarity.requires_grad_(False)
        field.sdf_network.requires_grad_(True)


def _photo_loss(
    field: HeadField,
    latent: Float[Tensor, " l"],
    rays: FrozenHits,
    done: float,
    config: LatentFitConfig,
    neck_mm: float,
) -> Float[Tensor, ""]:
    """IDR's colour and mask losses after that fraction of the steps, differentiable in latent and placement."""
    placed = field.placement.points(rays.points)
    output = field.sdf_network(placed, latent[None])
    sdf, features = output[:, 0], output[:, 1:].detach()
    meets = rays.hit & (rays.cos_incidence > config.min_cos_incidence)
    points = newton_step(rays[meets], sdf[meets] / field.placement.scale, config.max_move)
    colour = frozen_colour_loss(field, rays[meets], points, features[meets], len(rays))
    # Where a bust ends says nothing about the head.
    misses = ~rays.hit & above_neck(placed, neck_mm)
    sharpness = config.sharpness[0] ** (1.0 - done) * config.sharpness[1] ** done
    mask = mask_loss(sdf[misses], rays.in_mask[misses], rays.weight[misses], sharpness, len(rays))
    return colour + config.mask_weight * mask
