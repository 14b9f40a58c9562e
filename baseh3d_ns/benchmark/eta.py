"""Expected time of cells: from cells that are done, in this benchmark or in kept ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from math import fsum
from statistics import fmean, linear_regression

from baseh3d_ns.benchmark.cells import Cell, DataSpec, FitSpec, PriorSpec
from baseh3d_ns.benchmark.commands import Options, option
from baseh3d_ns.benchmark.definition import SyntheticData
from baseh3d_ns.benchmark.markdown import counted
from baseh3d_ns.benchmark.results import Result

SIZES = (
    "pipeline.datamanager.train_num_rays_per_batch",
    "pipeline.model.sdf_field.sdf.layers",
    "pipeline.model.sdf_field.sdf.width",
)
"""Options that decide what a step costs, before all others."""


@dataclass(frozen=True)
class Work:
    """A cell, as far as its time depends on it."""

    kind: str
    row: str
    method: str = ""
    views: str = ""
    steps: int = 0
    """Steps of its training, or photos to make; 0 where it has none, or they are not known before it runs."""
    size: tuple[Hashable, ...] = ()
    """Values of `SIZES`."""

    @property
    def likeness(self) -> Iterator[tuple[Hashable, ...]]:
        """Keys of cells that take as long by the step, the most alike first."""
        if self.kind not in ("fit", "prior"):
            yield (self.kind,)
            return
        yield self.kind, self.row, self.views, self.size
        yield self.kind, self.method, self.views, self.size
        yield self.kind, self.method, self.size
        if self.steps:
            yield "any training", self.size


@dataclass
class _Measured:
    """Cells that are alike."""

    steps: list[int] = field(default_factory=list)
    train_s: list[float] = field(default_factory=list)
    score_s: list[float] = field(default_factory=list)

    def seconds(self, steps: int) -> float:
        """Expected seconds of a cell with so many steps; 0 steps: the mean."""
        return self._trained_s(steps) + fmean(self.score_s)

    def _trained_s(self, steps: int) -> float:
        """A start and a time by the step where cells of several lengths tell them apart, else the latter alone."""
        if len(set(self.steps)) > 1:
            by_step, start = linear_regression(self.steps, self.train_s)
            if steps and by_step > 0.0 and start > 0.0:
                return start + by_step * steps
        return sum(self.train_s) / sum(self.steps) * steps if steps and any(self.steps) else fmean(self.train_s)


@dataclass
class Eta:
    """Expected seconds, from the cells most alike; unknown where there are none."""

    measured: dict[tuple[Hashable, ...], _Measured] = field(default_factory=dict)

    def note(self, work: Work, train_s: float, score_s: float) -> None:
        """Remember how long a cell took."""
        for key in work.likeness:
            alike = self.measured.setdefault(key, _Measured())
            alike.steps.append(work.steps)
            alike.train_s.append(train_s)
            alike.score_s.append(score_s)

    def note_cell(self, cell: Cell, result: Result) -> None:
        """Remember how long a cell of this benchmark took."""
        self.note(work_of(cell, result.steps), result.train_s or 0.0, result.score_s or 0.0)

    def seconds(self, cell: Cell) -> float | None:
        """Expected seconds of a cell; None as long as none like it is done."""
        return self.expected_s(work_of(cell))

    def expected_s(self, work: Work) -> float | None:
        """Expected seconds of work; None as long as none like it is done."""
        known = next((self.measured[key] for key in work.likeness if key in self.measured), None)
        return None if known is None else known.seconds(work.steps)

    def expected(self, cell: Cell) -> str:
        """The same in words, or nothing."""
        seconds = self.seconds(cell)
        return "" if seconds is None else f"about {duration(seconds)}"

    def left(self, cells: list[Cell], jobs: int) -> str:
        """Time until all of those cells are done, in words; nothing as long as it is known for none of them."""
        seconds, unknown = self.sum_seconds(cells)
        if len(cells) == unknown:
            return ""
        besides = f", and {counted(unknown, 'cell')} of unknown time" if unknown else ""
        return f"about {duration(seconds / min(jobs, len(cells)))} left{besides}"

    def sum_seconds(self, cells: list[Cell]) -> tuple[float, int]:
        """Expected seconds of those cells, one after another, and the number of those among them that are unknown."""
        seconds = [self.seconds(cell) for cell in cells]
        return fsum(one or 0.0 for one in seconds), seconds.count(None)


def work_of(cell: Cell, steps: int = 0) -> Work:
    """A cell, as far as its time depends on it.

    Args:
        steps: of its training, where it is done; 0: as planned.
    """
    spec = cell.spec
    if isinstance(spec, DataSpec):
        return Work(spec.kind, cell.row, steps=photos_of(spec.synthetic))
    if not isinstance(spec, FitSpec | PriorSpec):
        return Work(spec.kind, cell.row)
    steps = steps or planned_steps(spec, made_views(cell))
    return Work(spec.kind, cell.row, spec.method, spec.views, steps, size_of(spec.method, spec.options))


def photos_of(made: SyntheticData) -> int:
    """Photos that synthetic subjects have in all: the steps of making them."""
    return made.subjects * made.views


def size_of(method: str, options: Options) -> tuple[Hashable, ...]:
    """Values of `SIZES` of a method with options."""
    return tuple(option(method, options, path) for path in SIZES)


def made_views(cell: Cell) -> int:
    """Number of photos of a scene that a cell makes; 0 where the scenes are there already."""
    return next((one.spec.synthetic.views for one in cell.needs if isinstance(one.spec, DataSpec)), 0)


def planned_steps(spec: FitSpec | PriorSpec, all_views: int) -> int:
    """Steps that a training will take; 0 where that is not known yet.

    Args:
        spec: of the cell.
        all_views: number of views that `all` stands for; 0: not known.
    """
    views = all_views if spec.views == "all" else _count(spec.views)
    epochs = spec.epochs or option(spec.method, spec.options, "epochs")
    by_itself = option(spec.method, spec.options, "steps_of_one_view") or 0
    most = option(spec.method, spec.options, "max_num_iterations")
    return min(epochs * views if epochs else round(by_itself * views**0.5), most)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _count(views: str) -> int:
    """Number of views of a configuration, or of indices; 0 where it has a name."""
    indices = [one for one in views.split(",") if one]
    if "," in views:
        return len(indices)
    return int(views) if views.isdigit() else 0
