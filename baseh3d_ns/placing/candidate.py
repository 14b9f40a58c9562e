"""A prior as placed so far, and its minimum SDF along the rays of a new head's photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.heads.latent_pca import LatentPca
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import uniform_samples


@dataclass
class Candidate:
    """A prior as placed so far."""

    config: PlacingConfig
    field: HeadField
    grid: GridTracer
    """Cache of its SDF."""
    placement: Placement
    pca: LatentPca | None
    """PCA of a shape space's latents; None for the prior of one head."""
    coefficients: Float[Tensor, " k"]
    """PCA coefficients of the present head."""
    expected: Placement
    """Similarity that the fit starts from, and whose scale and rotation it is held to."""
    upright: bool = False
    """Whether the prior stands in `HEAD_FRAME`, as shape spaces do."""

    def pose_penalty(self) -> Float[Tensor, ""]:
        """Weighted squared distance of scale and rotation from what is expected."""
        sines = self.placement.turned_from(self.expected)
        weights = self.config.upright_rotation_weights if self.upright else self.config.rotation_weights
        log_scale = self.placement.similarity[0] - self.expected.similarity[0]
        return self.config.size_weight * log_scale.square() + (sines.new_tensor(weights) * sines.square()).sum()

    def latent(self) -> Float[Tensor, "1 l"] | None:
        """Latent of the present head, as the SDF network takes it."""
        return None if self.pca is None else self.pca.decode(self.coefficients)[None]

    @torch.no_grad()
    def refresh(self) -> None:
        """Cache the SDF of the present latent."""
        if self.pca is not None and self.field.latent is not None:
            self.field.latent.copy_(self.pca.decode(self.coefficients))
        self.grid.refresh(self.field.sdf, self.coefficients.device)


def min_sdf_along(
    found: Candidate,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    with_latent: bool = False,
) -> tuple[Float[Tensor, " rays"], Bool[Tensor, " rays"]]:
    """Minimum SDF of the placed prior along every ray, in the new unit frame, and the rays that count.

    Differentiable in the placement, and in the latent where asked. For an upright prior, rays that pass closest below
    its neck do not count.
    """
    near, far, _ = intersect_unit_ball(origins, directions)
    t = uniform_samples(near, far, found.config.samples, jitter=True)
    points = found.placement.points(points_along(origins, directions, t))
    in_box = points.clamp(-1.0, 1.0)
    values = found.grid.cached(in_box) + (points - in_box).norm(dim=-1)
    closest = points[torch.arange(len(points), device=points.device), values.argmin(dim=1)]
    counts = torch.ones_like(closest[:, 1], dtype=torch.bool)
    if found.upright:
        counts = above_neck(closest, found.config.neck_mm)
    if not with_latent:
        return values.amin(dim=1) / found.placement.scale, counts
    # The grid knows where the SDF is smallest; its change with the latent only the network knows.
    return found.field.sdf_network(closest, found.latent())[:, 0] / found.placement.scale, counts


def above_neck(points: Float[Tensor, "n 3"], neck_mm: float) -> Bool[Tensor, " n"]:
    """Points of a shape space's frame above a height in mm: where a bust ends says nothing about the head."""
    return points[:, 1] > float(HEAD_FRAME.to_unit(np.array([0.0, neck_mm, 0.0]))[1])
