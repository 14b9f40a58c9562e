"""Runs the graph of a benchmark: what is done stays, what is ready goes to the executor, what fails is reported."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from baseh3d_ns.benchmark.cells import CELL, Cell
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.eta import Eta
from baseh3d_ns.benchmark.executors import LOG, Executor
from baseh3d_ns.benchmark.results import FAILURE, Result, curves_frame, load_result, to_frame, write_csv
from baseh3d_ns.errors import InputError

RESULTS, CURVES = "results.csv", "curves.csv"
POLL_S = 1.0


@dataclass
class Sweep:
    """One benchmark in one folder."""

    definition: Definition
    cells: list[Cell]
    run: Path
    """The results folder."""
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons, by cell id; skipped ones are not among them."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Reasons why this machine cannot run a cell, by cell id."""
    eta: Eta = field(default_factory=Eta)
    """Times that are known from elsewhere; its own cells are added."""

    def __post_init__(self) -> None:
        self.done: dict[str, Result] = {}
        for cell in self.cells:
            result = self._done(cell)
            if result is not None:
                self.eta.note_cell(cell, result)

    def run_all(self, executor: Executor) -> None:
        """Run what has no result yet; results.csv grows with every cell."""
        by_id = {cell.id: cell for cell in self.cells}
        graph = TopologicalSorter({cell.id: [needed.id for needed in cell.needs] for cell in self.cells})
        graph.prepare()
        running: dict[Future[int], Cell] = {}
        with _bars() as bars, _threads(executor.jobs) as threads:
            total = bars.add_task("all cells", total=len(self.cells), left="")
            while graph.is_active():
                for cell in map(by_id.__getitem__, graph.get_ready()):
                    blocked = _blocked(cell, self.failed.keys() | self.skipped.keys())
                    if blocked:
                        self.failed[cell.id] = blocked
                        self._say_why(bars, cell)
                    if cell.id in self.done or blocked:
                        graph.done(cell.id)
                        bars.advance(total)
                        continue
                    running[threads.submit(self._execute, executor, cell, bars)] = cell
                finished, _ = wait(running, POLL_S, FIRST_COMPLETED)
                for future in finished:
                    cell = running.pop(future)
                    self._take(cell, future, bars)
                    graph.done(cell.id)
                    bars.advance(total)
                bars.update(total, left=self.eta.left(self.open_cells(), executor.jobs))
        self.write_results()

    @property
    def spent_s(self) -> float:
        """Seconds that the cells took which are done, one after another."""
        return sum((one.train_s or 0.0) + (one.score_s or 0.0) for one in self.done.values())

    def results(self) -> list[tuple[Path, Result]]:
        """Folder and result of every cell, in the order of the definition; what is missing says why."""
        found, without = [], set[str]()
        for cell in self.cells:
            blocked = self.failed.get(cell.id) or _blocked(cell, without)
            result = cell.result(self.run) or replace(cell.no_result("not run yet"), status="missing")
            if blocked and not result.done:
                result = replace(result, status="failed", reason=blocked)
            if result.status in ("failed", "skipped"):
                without.add(cell.id)
            found.append((cell.folder(self.run), result))
        return found

    def write_results(self) -> None:
        """Write the tidy tables of everything there is."""
        results = [result for _, result in self.results()]
        write_csv(self.run / RESULTS, to_frame(results))
        curves = curves_frame(results)
        if len(curves):
            write_csv(self.run / CURVES, curves)

    def _done(self, cell: Cell) -> Result | None:
        """Its result, read once."""
        if cell.id not in self.done and (found := load_result(cell.folder(self.run))):
            self.done[cell.id] = found
        return self.done.get(cell.id)

    def open_cells(self) -> list[Cell]:
        """Cells that have neither a result nor a failure of this run."""
        without = self.done.keys() | self.failed.keys() | self.skipped.keys()
        return [cell for cell in self.cells if cell.id not in without]

    def _execute(self, executor: Executor, cell: Cell, bars: Progress) -> int:
        """In a thread of its own: one cell from its folder to its exit status."""
        folder = cell.prepare(self.run)
        # What an earlier try said is no answer if this one dies without a word.
        (folder / FAILURE).unlink(missing_ok=True)
        arguments = [str(folder)]
        data, prior = cell.data_root(self.run, self.definition.data.path), cell.prior_file(self.run)
        if data is not None and cell.kind != "data":
            arguments += ["--data", str(data)]
        if prior is not None:
            arguments += ["--prior", str(prior)]
        bar = bars.add_task(cell.label, total=None, left=self.eta.expected(cell))
        try:
            return executor.run(arguments, folder / LOG)
        finally:
            bars.remove_task(bar)

    def _take(self, cell: Cell, future: Future[int], bars: Progress) -> None:
        """Note how a cell ended."""
        try:
            status = future.result()
        except Exception as error:  # whatever one cell runs into, the others go on
            self._keep_failure(cell, f"{type(error).__name__}: {error}")
            self._say_why(bars, cell)
            return
        result = self._done(cell)
        if result is not None:
            self.eta.note_cell(cell, result)
            _say(bars, f"{cell.label}: {_scores(result)}")
        else:
            self._note_failure(cell, status)
            self._say_why(bars, cell)
        self.write_results()

    def _note_failure(self, cell: Cell, status: int) -> None:
        said = cell.result(self.run)
        if said and said.status == "skipped":
            self.skipped[cell.id] = said.reason
            return
        reason = said.reason if said else f"its process ended with {status}"
        self._keep_failure(cell, f"{reason}; log: {cell.folder(self.run) / LOG}")

    def _keep_failure(self, cell: Cell, reason: str) -> None:
        """Note why a cell failed, also in its folder, for the reports to come."""
        self.failed[cell.id] = reason
        # A folder that could not be made or written to is what may have failed.
        with contextlib.suppress(InputError):
            if (cell.folder(self.run) / CELL).is_file():
                cell.no_result(reason).save(cell.folder(self.run))

    def _say_why(self, bars: Progress, cell: Cell) -> None:
        reason = self.failed.get(cell.id) or f"skipped: {self.skipped[cell.id]}"
        _say(bars, f"{cell.label}: no result: {reason}", "yellow")


def _say(bars: Progress, text: str, style: str = "") -> None:
    """Print a line above the bars; square brackets of names are no markup."""
    bars.console.print(text, style=style, markup=False, soft_wrap=True)


def _blocked(cell: Cell, without: Collection[str]) -> str:
    """Why a cell cannot run, where one that it needs is among those `without` a result, by their ids; else empty."""
    needed = next((one for one in cell.needs if one.id in without), None)
    return f"it needs {needed.label}, which has no result" if needed else ""


@contextlib.contextmanager
def _threads(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that start nothing more once the benchmark is interrupted."""
    threads = ThreadPoolExecutor(jobs)
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _bars() -> Progress:
    label = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), label, BarColumn(20), MofNCompleteColumn())
    left = TextColumn("{task.fields[left]}")
    return Progress(*columns, TimeElapsedColumn(), left, console=Console(), refresh_per_second=2)


def _scores(result: Result) -> str:
    took = f"{(result.train_s or 0.0) + (result.score_s or 0.0):.0f} s"
    if result.face_mm is None:
        return f"done in {took}"
    return f"face {result.face_mm:.2f} mm, head {result.head_mm:.2f} mm, {took}"
