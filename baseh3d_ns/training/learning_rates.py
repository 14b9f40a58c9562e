"""Optimisers whose learning rates follow a training's own schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from nerfstudio.engine.optimizers import Optimizers
from torch.nn import Parameter


def following(
    configs: dict[str, Any], groups: dict[str, list[Parameter]], factor: Callable[[int], float]
) -> Optimizers:
    """nerfstudio's optimisers with learning rates that are their configs' times a factor.

    Args:
        configs: options of the optimisers, by their groups' names.
        groups: parameters.
        factor: factor at a training step.
    """
    # Schedulers of nerfstudio's kind, one an optimiser, would compete with the factor: there are none to choose.
    optimizers = Optimizers({name: {**config, "scheduler": None} for name, config in configs.items()}, groups)
    for name, optimizer in optimizers.optimizers.items():
        # Plain floats, so that checkpoints load safely.
        optimizers.schedulers[name] = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return optimizers


def set_rates(optimizers: Optimizers, factor: float) -> None:
    """Set all learning rates to their configs' times a factor."""
    for optimizer in optimizers.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
