"""Devices that a training is asked to run on, compared with those of this machine, their precision and memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.engine.trainer import TrainerConfig

from baseh3d_ns.errors import InputError

FEWER_RAYS = (
    "take fewer rays (--pipeline.datamanager.train-num-rays-per-batch), or smaller photos (--downscale of h3ds-data, "
    "--longest-side-px of head-data)"
)
"""Remedy of a training that lacks memory."""


def check_devices(machine: MachineConfig) -> None:
    """Raise `InputError` unless this machine has devices of that type, and as many."""
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    kind = machine.device_type
    if not there.get(kind):
        others = " or ".join(name for name, count in there.items() if count)
        raise InputError(f"--machine.device-type {kind}: there is none on this machine, pass {others}")
    if machine.num_devices > there[kind]:
        raise InputError(f"--machine.num-devices {machine.num_devices}: this machine has {there[kind]} ({kind})")


def check_precision(config: TrainerConfig) -> None:
    """Raise `InputError` for a training in mixed precision, or with gradients scaled for it."""
    for name in ("mixed_precision", "use_grad_scaler"):
        if getattr(config, name):
            raise InputError(
                f"{name} True: half precision is too coarse for the eikonal loss and the tracing of surfaces, which "
                "need float32: leave it at False"
            )


@contextmanager
def named_memory_errors(remedy: str = FEWER_RAYS) -> Iterator[None]:
    """Context in which memory that cannot be had, on any device, is an `InputError` with the remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).strip().split("\n")[0]
        # PyTorch has a class of its own for GPUs only.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in said:
            raise
        raise InputError(f"out of memory ({said[:200] or 'no more is known'}): {remedy}") from error
