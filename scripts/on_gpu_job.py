"""Sizes of the parts of `on_gpu.sh`, and how a part keeps what it measures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from baseh3d_ns.files import write_text


@dataclass(frozen=True)
class Sizes:
    """Lengths of the parts."""

    warm_up: int = 20
    """Steps that are not measured: kernels are loaded, memory is taken."""
    steps: int = 300
    """Measured steps of idr and baseh3d."""
    profiled: int = 20
    """Steps of baseh3d-fast that are taken apart."""
    shape_space_steps: int = 200
    head: dict[str, Any] = field(default_factory=dict)
    """Options of idr and baseh3d."""
    shape_space: dict[str, Any] = field(default_factory=dict)
    """Options of h3dnet-prior."""
    fit: dict[str, Any] = field(default_factory=dict)
    """Options of baseh3d-fast."""
    view: dict[str, Any] = field(default_factory=dict)
    """Options of the data of baseh3d-fast."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One fit of baseh3d-fast each."""
    scored_at: tuple[int, ...] = (0, 60, 120, 180, 270, 400, 500, 10000)
    """Steps after which a fit is scored; it ends before the last."""
    cells: tuple[int, ...] = (512, 1024)
    """Lattice cells of a mesh along an axis of the unit ball's box."""


RAYS = "pipeline.datamanager.train-num-rays-per-batch"
SMALL = Sizes(
    warm_up=1,
    steps=2,
    profiled=2,
    shape_space_steps=3,
    head={RAYS: 32},
    shape_space={
        f"pipeline.datamanager.{name}": value
        for name, value in {"samples-per-head": 500, "heads-per-step": 2, "points-per-head": 16}.items()
    },
    fit={
        RAYS: 128,
        "epochs": 6,
        "warm-start.colours.steps": 5,
        "warm-start.latent.steps": 5,
        "finish-colours.steps": 5,
        "finish-colours.batches": 4,
    },
    view={"downscale": 4},
    seeds=(0, 1),
    scored_at=(0, 6, 18),
    cells=(64, 128),
)


@dataclass
class Figures:
    """Measured so far, in a file that is whole at any time."""

    file: Path
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, **values: Any) -> None:
        """Keep values, beside or instead of earlier ones."""
        self.values |= values
        print(values, flush=True)
        write_text(self.file, json.dumps(self.values, allow_nan=False))


@dataclass(frozen=True)
class Job:
    """Arguments of a part."""

    data: Path
    scratch: Path
    """Folder for what a training writes; gone afterwards."""
    sizes: Sizes
    figures: Figures

    @property
    def fit_options(self) -> dict[str, Any]:
        """Options of baseh3d-fast."""
        return {"data": self.data, **self.sizes.fit}


def forget_peak() -> None:
    """Start a new peak of memory; on the CPU there is only that of the process."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def finite(value: float) -> float | None:
    """A number that JSON can hold, or nothing."""
    return value if isfinite(value) else None
