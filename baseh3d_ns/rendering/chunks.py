"""Chunk size of network calls."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Sdf = Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]
"""Points in the unit frame -> signed distance, negative inside."""


def points_per_call(device: torch.device, with_gradient: bool = False) -> int:
    """Number of points that fit the cache of a CPU core, or keep a GPU busy within its memory (a gradient keeps the
    activations of every layer)."""
    if device.type == "cpu":
        return 1 << 14
    return 1 << 15 if with_gradient else 1 << 18


def in_chunks(sdf: Sdf, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """SDF at points of any leading shape, evaluated chunk by chunk."""
    flat = points.reshape(-1, 3)
    if len(flat) == 0:
        return flat[:, 0].reshape(points.shape[:-1])
    values = [sdf(chunk) for chunk in flat.split(points_per_call(points.device))]
    return torch.cat(values).reshape(points.shape[:-1])
