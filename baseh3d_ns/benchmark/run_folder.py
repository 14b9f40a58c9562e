"""The results folder of a benchmark: made, found again, held by one process, reported on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.cells import CELLS, Cell
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.eta import Eta
from baseh3d_ns.benchmark.markdown import to_markdown
from baseh3d_ns.benchmark.plan import check_scans, plan
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.results import RESULT, load_result
from baseh3d_ns.benchmark.sweep import Sweep
from baseh3d_ns.benchmark.unequal_settings import settings_table
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_text

DEFINITION, DATA_PATH, LOCK = "definition.toml", "data.txt", ".lock"
FOLDER = "folder.txt"
"""File with the working folder that the definition's paths count from."""


def open_sweep(definition_file: Path, definition: Definition, cells: list[Cell], run: Path, eta: Eta) -> Sweep:
    """The folder of a benchmark, made or found again.

    Args:
        definition_file: file of the definition.
        definition: the same, on the scenes that are wanted.
        cells: its `plan`.
        run: the folder.
        eta: times known from elsewhere.

    Raises:
        InputError: it belongs to another definition, or cannot be written to; a scan cannot be scored.
    """
    check_scans(cells, definition)
    kept = run / DEFINITION
    if kept.is_file():
        other = _begun(run)
        if other.name != definition.name:
            raise InputError(f"{run} holds results of '{other.name}', not of '{definition.name}': choose another --out")
        before, now = _root_of(run), _named_root(definition)
        if before != now:
            raise InputError(f"{run} holds results on {before or 'synthetic heads'}: choose another --out")
    elif run.exists() and (not run.is_dir() or any(item.name not in (CELLS, LOCK) for item in run.iterdir())):
        raise InputError(f"{run} holds something else than a benchmark: choose another --out")
    try:
        (run / CELLS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {run} ({error.strerror}): choose another --out") from error
    with only_one(run):
        write_text(kept, read_text(definition_file))
        write_text(run / FOLDER, str(Path.cwd()))
        if definition.data.path is not None:
            write_text(run / DATA_PATH, _named_root(definition))
    return Sweep(definition, cells, run.resolve(), eta=eta)


def reopen_sweep(run: Path) -> Sweep:
    """The benchmark in a results folder, as far as it got.

    Raises:
        InputError: there is none, the data that it names are gone, or all its results are of other cells.
    """
    if not (run / DEFINITION).is_file():
        raise InputError(f"{run} holds no benchmark: pass the folder that `baseh3d bench` wrote")
    root = _root_of(run)
    definition = _begun(run).on(Path(root) if root else None)
    sweep = Sweep(definition, plan(definition), run.resolve())
    _check_has_its_results(sweep)
    return sweep


def _check_has_its_results(sweep: Sweep) -> None:
    """Raise `InputError` where a folder holds results, but none of a planned cell: a report would lose them all.

    The version is part of a cell's identity, so that this is so after an upgrade.
    """
    if any(cell.result(sweep.run) for cell in sweep.cells):
        return
    kept = [load_result(file.parent) for file in sorted((sweep.run / CELLS).glob(f"*/{RESULT}"))]
    made_with = sorted({one.version or "unknown" for one in kept if one})
    if made_with:
        raise InputError(
            f"{sweep.run} holds results of version {', '.join(made_with)}, and none of a cell as version {__version__} "
            "plans it, so its report is left as it is: take that version to write it again, or run `baseh3d bench` "
            "with another --out"
        )


def _begun(run: Path) -> Definition:
    """Definition of a benchmark that was begun, perhaps from another working folder."""
    return read_definition(run / DEFINITION, Path(_noted(run / FOLDER)))


def _named_root(definition: Definition) -> str:
    """Root of the scenes of a definition; empty for synthetic heads that it makes."""
    return str(definition.data.path.resolve()) if definition.data.path else ""


def _root_of(run: Path) -> str:
    """Root of the scenes of a benchmark that was begun; empty for synthetic heads."""
    return _noted(run / DATA_PATH)


def _noted(file: Path) -> str:
    """The line of a file; empty where there is none."""
    return read_text(file).strip() if file.is_file() else ""


def dry_run_report(definition: Definition, cells: list[Cell], run: Path, jobs: int, eta: Eta) -> str:
    """The cells of a benchmark, what they need, and how long they will take as far as any like them is done."""
    sweep = Sweep(definition, cells, run, eta=eta)
    lines = [f"{definition.title}: {len(cells)} cells in {run}"]
    for cell in cells:
        needs = ", ".join(needed.label for needed in cell.needs) or (f"prior {cell.start}" if cell.start else "")
        state = "done" if cell.id in sweep.done else sweep.eta.expected(cell)
        lines.append(f"  {cell.kind:<6} {cell.label:<60} {state:>11}" + (f"   needs {needs}" if needs else ""))
    settings = settings_table(definition)
    lines += [to_markdown(settings)] if settings.rows else []
    remaining = sweep.open_cells()
    left = sweep.eta.left(remaining, jobs or 1) or "time unknown until cells of every kind are done"
    return "\n".join([*lines, f"{len(remaining)} cells to run, {left}" if remaining else "nothing left to run"])


@contextlib.contextmanager
def only_one(run: Path) -> Iterator[None]:
    """Hold the folder; the system gives it free when the process ends, however it ends.

    Raises:
        InputError: another benchmark works in it.
    """
    try:
        with FileLock(run / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"another process works in {run}: wait for it, or choose another --out") from error
