"""Runs the graph of a benchmark: what is done stays, what is ready goes to the executor, what fails is reported."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from baseh3d_ns.benchmark.cells import CELLS, DATA, Cell, plan, prior_file
from baseh3d_ns.benchmark.definition import Definition, read_definition
from baseh3d_ns.benchmark.estimates import Clock, duration
from baseh3d_ns.benchmark.executors import Executor
from baseh3d_ns.benchmark.results import FAILURE, Result, load_result, write_csv
from baseh3d_ns.benchmark.unequal_settings import differences
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_atomically

DEFINITION, RESULTS, DATA_PATH, LOCK = "definition.toml", "results.csv", "data.txt", ".lock"
POLL_S = 1.0


@dataclass
class Sweep:
    """One benchmark in one folder."""

    definition: Definition
    cells: list[Cell]
    run: Path
    """The results folder."""
    data: Path | None
    """Root of the data, where the definition does not make them."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by cell id; skipped ones are not among them."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why this machine cannot run a cell, by cell id."""

    def __post_init__(self) -> None:
        self.done: dict[str, Result] = {}
        self.clock = Clock()
        for cell in self.cells:
            result = self._done(cell)
            if result is not None:
                self.clock.note(cell, result)

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
                    blocked = next(
                        (one for one in cell.needs if one.id in self.failed.keys() | self.skipped.keys()), None
                    )
                    if blocked is not None:
                        self.failed[cell.id] = f"it needs {blocked.label}, which has no result"
                        self._say(bars, cell)
                    if cell.id in self.done or blocked is not None:
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
                bars.update(total, left=self.clock.left(self.open_cells(), executor.jobs))
        self.write_results()

    def results(self) -> list[tuple[Path, Result]]:
        """Folder and result of every fit and floor, in the order of the definition; what is missing says why."""
        found = []
        for cell in self.cells:
            if cell.kind not in ("fit", "floor"):
                continue
            result = cell.result(self.run) or cell.no_result("not run yet")
            if cell.id in self.failed:
                result = replace(result, reason=self.failed[cell.id])
            found.append((cell.folder(self.run), result))
        return found

    def write_results(self) -> None:
        """The tidy table of everything there is."""
        write_csv(self.run / RESULTS, [result for _, result in self.results()])

    def _done(self, cell: Cell) -> Result | None:
        """Its result, read once."""
        if cell.id not in self.done and (found := load_result(cell.folder(self.run))):
            self.done[cell.id] = found
        return self.done.get(cell.id)

    def open_cells(self) -> list[Cell]:
        """What has neither a result nor a failure of this run."""
        without = self.done.keys() | self.failed.keys() | self.skipped.keys()
        return [cell for cell in self.cells if cell.id not in without]

    def _execute(self, executor: Executor, cell: Cell, bars: Progress) -> int:
        """In a thread of its own: one cell from its folder to its exit status."""
        folder = cell.prepare(self.run)
        # What an earlier try said is no answer if this one dies without a word.
        (folder / FAILURE).unlink(missing_ok=True)
        command = [sys.executable, "-m", "baseh3d_ns.benchmark.cell", str(folder)]
        made = [needed for needed in cell.needs if needed.kind == "data"]
        data = made[0].folder(self.run) / DATA if made else self.data
        if data is not None and cell.kind != "data":
            command += ["--data", str(data)]
        prior = prior_file(cell, self.run)
        if prior is not None:
            command += ["--prior", str(prior)]
        bar = bars.add_task(cell.label, total=None, left=self.clock.of(cell))
        try:
            return executor.run(command, folder / "log.txt")
        finally:
            bars.remove_task(bar)

    def _take(self, cell: Cell, future: Future[int], bars: Progress) -> None:
        """Note how a cell ended."""
        try:
            status = future.result()
        except Exception as error:  # whatever one cell runs into, the others go on
            self.failed[cell.id] = f"{type(error).__name__}: {error}"
            self._say(bars, cell)
            return
        result = self._done(cell)
        if result is not None:
            self.clock.note(cell, result)
            bars.console.print(f"{cell.label}: {_scores(result)}", soft_wrap=True)
        else:
            self._note_failure(cell, status)
            self._say(bars, cell)
        self.write_results()

    def _note_failure(self, cell: Cell, status: int) -> None:
        said = cell.result(self.run)
        if said and said.status == "skipped":
            self.skipped[cell.id] = said.reason
            return
        reason = said.reason if said else f"its process ended with {status}"
        self.failed[cell.id] = f"{reason}; log: {cell.folder(self.run) / 'log.txt'}"

    def _say(self, bars: Progress, cell: Cell) -> None:
        reason = self.failed.get(cell.id) or f"skipped: {self.skipped[cell.id]}"
        bars.console.print(f"[yellow]{cell.label}: no result: {reason}[/yellow]", soft_wrap=True)


def open_sweep(definition_file: Path, definition: Definition, cells: list[Cell], run: Path, data: Path | None) -> Sweep:
    """The folder of a benchmark, made or found again.

    Raises:
        InputError: it belongs to another definition, or cannot be written to.
    """
    kept = run / DEFINITION
    if kept.is_file():
        other = read_definition(kept)
        if other.name != definition.name:
            raise InputError(f"{run} holds results of '{other.name}', not of '{definition.name}': choose another --out")
    elif run.exists() and any(item.name not in (CELLS, LOCK) for item in run.iterdir()):
        raise InputError(f"{run} holds something else than a benchmark: choose another --out")
    try:
        (run / CELLS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {run} ({error.strerror}): choose another --out") from error
    with only_one(run):
        write_atomically(kept, definition_file.read_text(encoding="utf-8"))
        if definition.data.synthetic is None and data is not None:
            write_atomically(run / DATA_PATH, str(data.resolve()))
    return Sweep(definition, cells, run.resolve(), data.resolve() if data else None)


def reopen_sweep(run: Path) -> Sweep:
    """The benchmark in a results folder, as far as it got.

    Raises:
        InputError: there is none, or the data that it names are gone.
    """
    if not (run / DEFINITION).is_file():
        raise InputError(f"{run} holds no benchmark: pass the folder that `baseh3d bench` wrote")
    definition = read_definition(run / DEFINITION)
    data = run / DATA_PATH
    root = Path(data.read_text(encoding="utf-8")) if data.is_file() else None
    return Sweep(definition, plan(definition, root), run.resolve(), root)


def overview(definition: Definition, cells: list[Cell], run: Path, jobs: int) -> str:
    """What a benchmark would do: its cells, what they need, how long they may take."""
    sweep = Sweep(definition, cells, run, None)
    lines = [f"{definition.title}: {len(cells)} cells in {run}"]
    for cell in cells:
        needs = ", ".join(needed.row for needed in cell.needs) or (f"prior {cell.prior}" if cell.prior else "")
        state = "done" if cell.id in sweep.done else duration(sweep.clock.seconds(cell))
        lines.append(f"  {cell.kind:<5} {cell.label:<60} {state:>8}" + (f"   needs {needs}" if needs else ""))
    lines += differences(definition)
    left = sweep.clock.left(sweep.open_cells(), jobs or 1)
    return "\n".join([*lines, f"about {left or 'nothing left'} on two CPU cores; no GPU was ever timed"])


@contextlib.contextmanager
def only_one(run: Path) -> Iterator[None]:
    """Hold the folder; the system gives it free when the process ends, however it ends.

    Raises:
        InputError: another benchmark works in it.
    """
    with (run / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process works in {run}: wait for it, or choose another --out") from error
        yield


@contextlib.contextmanager
def _threads(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that start nothing more once the benchmark is interrupted."""
    threads = ThreadPoolExecutor(jobs)
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"), console=Console(), refresh_per_second=2,
    )  # fmt: skip


def _scores(result: Result) -> str:
    took = f"{(result.train_s or 0.0) + (result.score_s or 0.0):.0f} s"
    if result.face_mm is None:
        return f"done in {took}"
    return f"face {result.face_mm:.2f} mm, head {result.head_mm:.2f} mm, {took}"
