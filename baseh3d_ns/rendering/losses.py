"""IDR's three losses (Yariv et al. 2020, eq. 5-9 and supplement B), each divided by the number of rays of the batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ALPHA_END = 1600.0
"""The sharpest."""
ALPHA_DOUBLINGS = (0.125, 0.25, 0.375, 0.5, 0.625)
"""Fractions of the training at which the mask loss's sharpness doubles."""


def mask_sharpness(progress: float, start: float) -> float:
    """IDR's alpha after that fraction of the training: `start` (IDR: 50), doubled up to five times, to 1600 at most."""
    return min(start * 2.0 ** sum(progress >= milestone for milestone in ALPHA_DOUBLINGS), ALPHA_END)


def colour_loss(
    predicted: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"], weights: Float[Tensor, " n"], rays: int
) -> Float[Tensor, ""]:
    """Absolute difference summed over channels (eq. 6); the factor 2 because IDR's colours run from -1 to 1."""
    return 2.0 * ((predicted - target).abs().sum(-1) * weights).sum() / rays


def eikonal_loss(gradients: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
    """Mean squared difference of the gradient's length from 1 (eq. 8; Gropp et al., IGR, ICML 2020)."""
    return (gradients.norm(dim=-1) - 1.0).square().mean()


def mask_loss(
    least_sdf: Float[Tensor, " n"],
    inside: Bool[Tensor, " n"],
    weights: Float[Tensor, " n"],
    alpha: float,
    rays: int,
) -> Float[Tensor, ""]:
    """Cross entropy of the soft silhouette sigmoid(-alpha * least SDF along the ray), divided by alpha (eq. 7)."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        -alpha * least_sdf, inside.to(least_sdf.dtype), weight=weights, reduction="sum"
    )
    return entropy / (alpha * rays)
