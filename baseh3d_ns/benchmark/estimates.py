"""How long cells take: by those that are done, else by what a step cost on two CPU cores."""

from __future__ import annotations

from baseh3d_ns.benchmark.cells import Cell
from baseh3d_ns.benchmark.commands import method_config
from baseh3d_ns.benchmark.results import Result
from baseh3d_ns.benchmark.unequal_settings import option

START_S = 15.0
"""Imports, reading the data, placing a prior."""
SCORE_S = 60.0
"""Meshing and scoring at 0.6 mm."""
FULL_STEP_S, SMALL_STEP_S = 5.0, 0.08
"""A step of 8 x 512 networks, and one of the small ones, on two CPU cores. No GPU was ever measured."""
SMALL_WIDTH = 128
SUBJECT_S = 12.0
"""A synthetic subject with its photos."""
VIEWS_OF_ALL = 24
"""What `all` is taken for."""


class Clock:
    """Estimates of single cells and of all that are left."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], list[float]] = {}

    def note(self, cell: Cell, result: Result) -> None:
        """Remember how long a cell took."""
        self.known.setdefault(_like(cell), []).append((result.train_s or 0.0) + (result.score_s or 0.0))

    def seconds(self, cell: Cell) -> float:
        """Expected seconds of a cell."""
        measured = self.known.get(_like(cell))
        if measured:
            return sum(measured) / len(measured)
        decides = cell.decides
        if cell.kind == "data":
            return START_S + SUBJECT_S * decides["synthetic"]["subjects"]
        if cell.kind == "floor":
            return START_S + SCORE_S
        views = decides.get("views", "")
        config = method_config(decides["method"])
        epochs = decides["epochs"] or getattr(config, "epochs", 0)
        steps = epochs * (int(views) if views.isdigit() else VIEWS_OF_ALL) or config.max_num_iterations
        width = option(decides["method"], decides["options"], "pipeline.model.sdf_field.sdf.width")
        step_s = SMALL_STEP_S if (width or 0) <= SMALL_WIDTH else FULL_STEP_S
        return START_S + steps * step_s + (SCORE_S if cell.kind == "fit" else 0.0)

    def of(self, cell: Cell) -> str:
        """For the bar of one cell."""
        return f"of about {duration(self.seconds(cell))}"

    def left(self, cells: list[Cell], jobs: int) -> str:
        """For the bar of all cells."""
        together = min(jobs, max(1, len(cells)))
        return f"{duration(sum(map(self.seconds, cells)) / together)} left" if cells else ""


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _like(cell: Cell) -> tuple[str, str]:
    """Cells that take as long as each other."""
    return cell.kind, f"{cell.row} {cell.decides.get('views')}" if cell.kind != "floor" else ""
