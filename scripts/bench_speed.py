"""Speed, measured in one process: what a training step costs, how far a fit is after how long, how cost grows.

Writes speed.json, speed.md and speed.png. Clocks stop while a fit is scored. On a CPU, all methods get the networks of
baseh3d-fast (IDR's own take 8 s a step there); on a GPU `--full-size` gives idr and baseh3d their own.
"""

from __future__ import annotations

import json
import resource
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from in_process import configure, device_name, run, start

from baseh3d_ns.evaluation.quick_score import quick_score
from baseh3d_ns.heads.readers import BUILTIN

WHOLE_STEPS = {"plateau": 0.0, "pipeline__model__refine_from": 0.0}
"""The first steps, by which the rest is planned, cost as much as the last."""


@dataclass
class Row:
    """One method."""

    method: str
    start_s: float = 0.0
    """Data, networks, placing the prior and its colours."""
    steps_per_s: float = 0.0
    rays_per_s: float = 0.0
    evaluations_per_ray: float = 0.0
    """Points the SDF network was asked for, by ray."""
    peak_gb: float = 0.0
    """Of the process so far (CPU), or of the GPU."""
    curve: list[tuple[float, float, float]] = field(default_factory=list)
    """(seconds since the start of the process of fitting, face mm, head mm): rigid, ground truth to surface."""


@dataclass
class BenchSpeed:
    """Compare idr, baseh3d and baseh3d-fast on one scene."""

    data: Path
    """Root in the H3DS layout."""
    out: Path
    """Folder for speed.json, speed.md, speed.png."""
    prior: Path = BUILTIN
    """Prior of the -fast networks, of another subject, or a shape space."""
    methods: tuple[str, ...] = ("idr", "baseh3d", "baseh3d-fast")
    """What to compare; `h3dnet-fast` is there as well."""
    scene: str = "scan1"
    """Scene to fit."""
    views: str = "3"
    """Training views."""
    seconds: float = 120.0
    """Training time a method gets."""
    scores: int = 6
    """How often a fit is scored, at times that double."""
    errors_mm: tuple[float, ...] = (4.0, 3.0, 2.5, 2.0, 1.5, 1.2)
    """Face errors whose time is reported."""
    full_size: bool = False
    """IDR's own networks for idr and baseh3d (needs a GPU and a prior of that size)."""

    def main(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        rows = [self.fit(name) for name in self.methods]
        growth = self.growth()
        result = {"device": device_name(), "rows": [asdict(row) for row in rows], "growth": growth}
        (self.out / "speed.json").write_text(json.dumps(result, indent=1))
        (self.out / "speed.md").write_text(self.table(rows))
        print(self.table(rows))
        _plot(rows, growth, self.out / "speed.png")

    def config(self, name: str, **changes: Any) -> Any:
        """The method's config on our scene."""
        return configure(
            name, self.data, self.scene, self.views, self.prior, not self.full_size, **WHOLE_STEPS, **changes
        )

    def fit(self, name: str) -> Row:
        """Train for the given time and score on the way."""
        row = Row(name)
        trainer, row.start_s = start(self.config(name))
        _, counted, seconds = run(trainer, 0, 10)
        rate = 10 / seconds
        # The schedule is made for the steps that fit into the time.
        config = self.config(name, epochs=max(1, int(rate * self.seconds) // len(trainer.dataset)))
        trainer, row.start_s = start(config)
        at = [self.seconds / 2 ** (self.scores - 1 - i) for i in range(self.scores)]
        step, spent, evaluations = 0, 0.0, 0
        for i, moment in enumerate(at):
            last = i + 1 == len(at)
            goal = config.max_num_iterations if last else min(config.max_num_iterations, int(rate * moment))
            step, counted, seconds = run(trainer, step, goal - step)
            spent, evaluations = spent + seconds, evaluations + counted
            row.curve.append((row.start_s + spent, *quick_score(trainer)))
            print(f"{name}: step {step}, {row.curve[-1][0]:.0f} s, face {row.curve[-1][1]:.2f} mm", flush=True)
        rays = step * config.pipeline.datamanager.train_num_rays_per_batch
        row.steps_per_s, row.rays_per_s, row.evaluations_per_ray = step / spent, rays / spent, evaluations / rays
        row.peak_gb = _peak_gb()
        return row

    def growth(self) -> dict[str, list[tuple[float, float]]]:
        """Seconds a step of baseh3d-fast against views, downscaling, rays and grid cells; the prior is not placed, so
        with several views nothing is held where no photo sees, which costs a step less."""
        manager, parser = "pipeline__datamanager", "pipeline__datamanager__dataparser"
        sweeps: dict[str, tuple[str, list[Any]]] = {
            "views": (f"{parser}__views", [("1",), ("3",), ("8",), ("16",)]),
            "downscale": (f"{parser}__downscale", [4, 2, 1]),
            "rays a batch": (f"{manager}__train_num_rays_per_batch", [512, 1024, 2048, 4096]),
            "grid cells": ("pipeline__model__grid_cells", [32, 64, 96, 128]),
        }
        found: dict[str, list[tuple[float, float]]] = {}
        for label, (path, values) in sweeps.items():
            for value in values:
                trainer, _ = start(self.config("baseh3d-fast", register=False, colours_first=0, **{path: value}))
                run(trainer, 0, 2)
                _, _, seconds = run(trainer, 2, 20)
                number = value[0] if isinstance(value, tuple) else value
                found.setdefault(label, []).append((float(number), seconds / 20))
        return found

    def table(self, rows: list[Row]) -> str:
        """Markdown."""
        names = ["method", "start s", "steps/s", "rays/s", "SDF evaluations / ray", "peak GB"]
        names += [f"s to {error:g} mm" for error in self.errors_mm] + ["face mm", "head mm", "after s"]
        lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        for row in rows:
            cells = [row.method, f"{row.start_s:.0f}", f"{row.steps_per_s:.1f}", f"{row.rays_per_s:.0f}"]
            cells += [f"{row.evaluations_per_ray:.0f}", f"{row.peak_gb:.1f}"]
            for error in self.errors_mm:
                reached = [seconds for seconds, face, _ in row.curve if face <= error]
                cells.append(f"{reached[0]:.0f}" if reached else "-")
            seconds, face, head = row.curve[-1]
            lines.append("| " + " | ".join([*cells, f"{face:.2f}", f"{head:.2f}", f"{seconds:.0f}"]) + " |")
        return "\n".join(lines) + "\n"


def _peak_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _plot(rows: list[Row], growth: dict[str, list[tuple[float, float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure, axes = plt.subplots(1, 1 + len(growth), figsize=(4 + 3 * len(growth), 3.4), constrained_layout=True)
    for row in rows:
        axes[0].plot([s for s, _, _ in row.curve], [face for _, face, _ in row.curve], marker="o", label=row.method)
    axes[0].set(xscale="log", yscale="log", xlabel="seconds", ylabel="face, mm (rigid, to the surface)")
    axes[0].legend()
    for axis in (axes[0].xaxis, axes[0].yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 4.0)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    for axis, (label, points) in zip(axes[1:], growth.items(), strict=True):
        axis.plot([x for x, _ in points], [1000 * y for _, y in points], marker="o", color="black")
        axis.set(xlabel=label, ylabel="ms a step (baseh3d-fast)", ylim=(0, 1100 * max(y for _, y in points)))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    tyro.cli(BenchSpeed, description=__doc__).main()
