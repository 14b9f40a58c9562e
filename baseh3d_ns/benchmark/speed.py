"""Speed of rows of a definition on one scene: start, steps, rays, error against time; growth of a step's cost."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from baseh3d_ns.benchmark.commands import Options
from baseh3d_ns.benchmark.definition import Definition, Row, SnapshotRef
from baseh3d_ns.benchmark.in_process import InProcessFit, configure, run, score, start
from baseh3d_ns.benchmark.machine import peak_memory_gb
from baseh3d_ns.benchmark.point import Point
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.errors import InputError

PILOT_STEPS = 10
"""Steps by whose rate a fit is planned."""
GROWTH_STEPS = 20
"""Steps whose mean time is reported, after two that are not."""
MANAGER = "pipeline.datamanager"
GROWTH: dict[str, tuple[str, tuple[Any, ...]]] = {
    "views": ("", ("1", "3", "8", "16")),
    "downscale": ("", (4, 2, 1)),
    "rays a batch": (f"{MANAGER}.train-num-rays-per-batch", (512, 1024, 2048, 4096)),
    "grid cells": ("pipeline.model.grid-cells", (32, 64, 96, 128)),
}
"""Values of an option (empty: of the dataparser) whose cost is measured, by their heading."""
BARE: Options = {
    "register": False,
    "warm-start.colours.steps": 0,
    "warm-start.latent.steps": 0,
    "finish-colours.steps": 0,
}
"""A fit whose prior is not placed: with several views nothing is held where no photo sees."""


@dataclass(frozen=True)
class Speed:
    """One row, measured."""

    row: str
    start_s: float
    """Seconds before the first step: data, networks, placing, warm start."""
    steps_per_s: float
    rays_per_s: float
    evaluations_per_ray: float
    """Points that the SDF network was asked for, by ray."""
    peak_gb: float
    """Memory of the process so far (CPU), or of the GPU."""
    curve: tuple[Point, ...]
    """Scores at times that double; the seconds include the start."""


@dataclass(frozen=True)
class OneScene:
    """A definition's rows on one scene of a root."""

    definition: Definition
    data: Path
    """Root in the H3DS layout."""
    scene: str

    def config(self, row: Row, options: Options, parser: Options | None = None) -> Any:
        """Config of a row's fit with options changed."""
        prior = self.definition.start_of(row)
        if isinstance(prior, SnapshotRef):
            raise InputError(f"row '{row.name}' starts from a prior that is trained first: name its file instead")
        given = {**self.definition.options_of(row), "data": self.data, **({"load-prior": prior} if prior else {})}
        known = {"scene": self.scene, "views": self.definition.views_of(row)[0]}
        return configure(row.method, Path(tempfile.mkdtemp()), {**given, **options}, {**known, **(parser or {})})

    def measure(self, row: Row, seconds: float, scores: int) -> Speed:
        """Train a row for that time, its schedule made for the steps that fit in, and score it on the way."""
        pilot = start(self.config(row, {}))
        rate = PILOT_STEPS / run(pilot, PILOT_STEPS).seconds
        epochs = max(1, int(rate * seconds) // len(pilot.trainer.dataset))
        fit = start(self.config(row, {"epochs": epochs}))
        evaluations, steps_s, points = 0, 0.0, []
        goals = [int(rate * seconds / 2**halvings) for halvings in range(scores - 1, 0, -1)]
        for goal in [*goals, fit.trainer.total_steps]:
            stretch = run(fit, goal - fit.step)
            evaluations, steps_s = evaluations + stretch.evaluations, steps_s + stretch.seconds
            points.append(score(fit))
        rays = fit.step * fit.trainer.config.pipeline.datamanager.train_num_rays_per_batch
        rates = fit.step / steps_s, rays / steps_s, evaluations / rays
        return Speed(row.name, fit.start_s, *rates, peak_memory_gb(), tuple(points))

    def growth(self, row: Row) -> pd.DataFrame:
        """Seconds a step against views, downscaling, rays and grid cells: columns `what`, `value`, `seconds`.

        Numbers of views that the scene has no configuration of are left out (H3DS 0.2 has none of one view).
        """
        root = open_h3ds(self.data)
        views = root.h3ds.default_views_configs(root.resolve_scene(self.scene))
        lines = []
        for what, (path, values) in GROWTH.items():
            for value in [value for value in values if what != "views" or value in views]:
                changed: Options = {path: value} if path else {}
                fit = start(self.config(row, {**BARE, **changed}, {} if path else {what: value}))
                run(fit, 2)
                lines.append((what, float(value), _step_s(fit)))
        return pd.DataFrame(lines, columns=["what", "value", "seconds"])


def _step_s(fit: InProcessFit) -> float:
    stretch = run(fit, GROWTH_STEPS)
    return stretch.seconds / stretch.steps


def speed_table(speeds: list[Speed], errors_mm: tuple[float, ...]) -> tuple[pd.DataFrame, dict[str, int]]:
    """One line a row, and the digits of its columns: rates, seconds to those face errors, the end."""
    lines = []
    for one in speeds:
        soon = {
            f"s to {error:g} mm": next((p.seconds for p in one.curve if p.face_mm <= error), None)
            for error in errors_mm
        }
        end = one.curve[-1]
        lines.append(
            {
                "method": one.row,
                "start s": one.start_s,
                "steps/s": one.steps_per_s,
                "rays/s": one.rays_per_s,
                "SDF evaluations / ray": one.evaluations_per_ray,
                "peak GB": one.peak_gb,
                **soon,
                "face mm": end.face_mm,
                "head mm": end.head_mm,
                "after s": end.seconds,
            }
        )
    return pd.DataFrame(lines), {"steps/s": 1, "peak GB": 1, "face mm": 2, "head mm": 2}


def plot_speed(speeds: list[Speed], growth: pd.DataFrame, file: Path) -> None:
    """Draw face error against time, and the cost of a step against everything in `growth`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    curves = list(growth.groupby("what", sort=False))
    figure, axes = plt.subplots(1, 1 + len(curves), figsize=(4 + 3 * len(curves), 3.4), constrained_layout=True)
    for one in speeds:
        points = [(point.seconds, point.face_mm) for point in one.curve]
        axes[0].plot(*zip(*points, strict=True), marker="o", label=one.row)
    axes[0].set(xscale="log", yscale="log", xlabel="seconds", ylabel="face, mm (rigid, to the surface)")
    axes[0].legend()
    for axis in (axes[0].xaxis, axes[0].yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 4.0)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    for axis, (what, points) in zip(axes[1:], curves, strict=True):
        axis.plot(points["value"], 1000 * points["seconds"], marker="o", color="black")
        axis.set(xlabel=what, ylabel="ms a step", ylim=(0, 1100 * points["seconds"].max()))
    figure.savefig(file, dpi=110)
