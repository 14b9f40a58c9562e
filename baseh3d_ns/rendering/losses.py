"""IDR's three losses (Yariv et al. 2020, eq. 5-9 and supplement B), each divided by the number of rays of the batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ALPHA_END = 1600.0
"""Upper limit of the mask loss's sharpness alpha (IDR)."""
ALPHA_DOUBLINGS = (0.125, 0.25, 0.375, 0.5, 0.625)
"""Fractions of the training at which alpha doubles (IDR)."""


def mask_sharpness(progress: float, start: float) -> float:
    """IDR's alpha at a `progress` in [0, 1]: `start` (IDR: 50), doubled up to five times, at most `ALPHA_END`."""
    return min(start * 2.0 ** sum(progress >= milestone for milestone in ALPHA_DOUBLINGS), ALPHA_END)


def colour_loss(
    predicted: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"], weights: Float[Tensor, " n"], rays: int
) -> Float[Tensor, ""]:
    """L1 difference summed over the channels (eq. 6), times 2 because IDR's colours run from -1 to 1."""
    return 2.0 * ((predicted - target).abs().sum(-1) * weights).sum() / rays


def eikonal_loss(gradients: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
    """Mean of (|gradient| - 1)^2 (eq. 8; Gropp et al., IGR, ICML 2020)."""
    return (gradients.norm(dim=-1) - 1.0).square().mean()


def mask_loss(
    min_sdf: Float[Tensor, " n"],
    in_mask: Bool[Tensor, " n"],
    weights: Float[Tensor, " n"],
    alpha: float,
    rays: int,
) -> Float[Tensor, ""]:
    """Cross entropy of the soft silhouette sigmoid(-alpha * minimum SDF along the ray), divided by alpha (eq. 7)."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        -alpha * min_sdf, in_mask.to(min_sdf.dtype), weight=weights, reduction="sum"
    )
    return entropy / (alpha * rays)
