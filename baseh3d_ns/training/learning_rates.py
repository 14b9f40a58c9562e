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


def set_rates(optimizers: Optimizers, step: int) -> None:
    """Let the learning rates of `following` go on at a step, as their configs say, whatever a checkpoint has brought.

    nerfstudio takes a checkpoint's rates for the new ones, or begins their schedule anew (`--load-scheduler False`).
    """
    for name, optimizer in optimizers.optimizers.items():
        rate, scheduler = optimizers.config[name]["optimizer"].lr, optimizers.schedulers[name]
        scheduler.base_lrs, scheduler.last_epoch = [rate] * len(optimizer.param_groups), step
        for group, factor in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["initial_lr"], group["lr"] = rate, rate * factor(step)
