"""Softplus of IDR's networks, which costs a CPU more than the matrix products between which it stands."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

BETA = 100
"""Sharpness (Yariv et al. 2020, supplement B)."""
LEAST = 1e-30
"""Sigmoid below which softplus is its argument."""


def softplus(x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """log(1 + exp(100 x)) / 100, differentiable twice."""
    if x.device.type == "cpu":
        result: Tensor = _OnCpu.apply(x)
        return result
    return nn.functional.softplus(x, beta=BETA)


class _OnCpu(torch.autograd.Function):
    """Softplus as -log(sigmoid(-x)): torch computes log1p number by number, but both of these in vectors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        logarithm = torch.sigmoid(x * -BETA).clamp_(min=LEAST).log_()
        return torch.maximum(logarithm.mul_(-1.0 / BETA), x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * torch.sigmoid(x * BETA)
