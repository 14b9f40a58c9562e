"""IDR's implicit differentiation: the surface point of a ray as a differentiable function of the network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MIN_SLOPE = 1e-3
"""Lower bound of |grad f . v|, which keeps the derivative of grazing rays finite."""


def differentiable_surface_point(
    origins: Float[Tensor, "n 3"],
    directions: Float[Tensor, "n 3"],
    t: Float[Tensor, " n"],
    sdf: Float[Tensor, " n"],
    gradient: Float[Tensor, "n 3"],
) -> Float[Tensor, "n 3"]:
    """x(theta) = c + (t0 - (f(x0; theta) - f0) / (grad f0 . v)) v  (IDR eq. 3, Lemma 1; f0 and grad f0 are constants).

    The value is c + t0 v; the derivative is that of the true intersection of the ray with the zero level set.

    Args:
        origins, directions: the rays (unit directions v), in the unit frame.
        t: distance t0 of the traced point along the ray.
        sdf: f at that point, with its graph.
        gradient: grad f at that point; used as a constant.
    """
    slope = (gradient.detach() * directions).sum(-1)
    slope = torch.where(slope.abs() < MIN_SLOPE, torch.where(slope < 0, -MIN_SLOPE, MIN_SLOPE), slope)
    t_theta = t - (sdf - sdf.detach()) / slope
    return origins + t_theta[:, None] * directions
