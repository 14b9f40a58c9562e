"""Remaining time of a benchmark, from the cells of it that are done."""

from __future__ import annotations

from baseh3d_ns.benchmark.cells import Cell, FitSpec
from baseh3d_ns.benchmark.results import Result


class Eta:
    """Expected seconds: the mean of cells of the same row and views, else of the same kind, else unknown."""

    def __init__(self) -> None:
        self.measured: dict[tuple[str, ...], list[float]] = {}

    def note(self, cell: Cell, result: Result) -> None:
        """Remember how long a cell took."""
        for key in (_like(cell), (cell.kind,)):
            self.measured.setdefault(key, []).append((result.train_s or 0.0) + (result.score_s or 0.0))

    def seconds(self, cell: Cell) -> float | None:
        """Expected seconds of a cell; None as long as none of its kind is done."""
        known = self.measured.get(_like(cell)) or self.measured.get((cell.kind,))
        return sum(known) / len(known) if known else None

    def expected(self, cell: Cell) -> str:
        """The same in words, or nothing."""
        seconds = self.seconds(cell)
        return "" if seconds is None else f"about {duration(seconds)}"

    def left(self, cells: list[Cell], jobs: int) -> str:
        """Time until all of those cells are done, in words; nothing as long as it is unknown for one of them."""
        seconds = [self.seconds(cell) for cell in cells]
        known = [one for one in seconds if one is not None]
        if not cells or len(known) < len(cells):
            return ""
        return f"about {duration(sum(known) / min(jobs, len(cells)))} left"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _like(cell: Cell) -> tuple[str, ...]:
    """Key of the cells that take as long as this one."""
    return (cell.kind, cell.row, cell.spec.views if isinstance(cell.spec, FitSpec) else "")
