"""Results kept in the repository: numbers as NAME.csv, their origin as NAME.json, a table of them as Markdown.

Two kinds: a benchmark (its results.csv and curves.csv; the definition is configs/NAME.toml), and any other measurement,
whose CSV is the table itself.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.definition import STRICT, Definition
from baseh3d_ns.benchmark.detail_tables import race_table, scan_table
from baseh3d_ns.benchmark.error_tables import brief_table, change_table, error_table
from baseh3d_ns.benchmark.eta import Eta, Work, photos_of, size_of
from baseh3d_ns.benchmark.machine import same_kind
from baseh3d_ns.benchmark.markdown import Table, number, pipe_table, to_markdown
from baseh3d_ns.benchmark.metrics import MEANING
from baseh3d_ns.benchmark.read_definition import content_hash, read_definition
from baseh3d_ns.benchmark.results import read_curves, read_results, write_csv
from baseh3d_ns.benchmark.run_folder import DATA_PATH, DEFINITION
from baseh3d_ns.benchmark.sweep import CURVES, RESULTS
from baseh3d_ns.benchmark.tables import summary_markdown
from baseh3d_ns.benchmark.unequal_settings import settings_table
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import whole_file, write_text

KEPT = "results"
"""Folder of kept results, beside the definitions."""
Numbers = tuple[Definition, pd.DataFrame, pd.DataFrame, Table]
"""A definition, its results, its scores on the way, the settings that its rows did not share."""


@dataclass(frozen=True, config=STRICT)
class Origin:
    """Origin of kept numbers."""

    command: str
    version: str
    """Version of this plugin."""
    seeds: tuple[int, ...]
    machine: str
    metric: str
    benchmark: bool = False
    """Whether the numbers are those of a benchmark, and configs/NAME.toml its definition."""
    definition: str = ""
    """Hash of the benchmark's definition (`content_hash`)."""
    digits: dict[str, int] = field(default_factory=dict)
    """Digits after the point, by column of a table that is no benchmark."""
    settings: Table = Table("", "", (), ())
    """Settings that the rows of a benchmark did not share; defaults may have changed since."""

    @property
    def line(self) -> str:
        """The same in one line."""
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        return f"`{self.command}`, version {self.version}, {seeds}, {self.machine}. {self.metric}."


VIEWS: dict[str, Callable[[Numbers], str]] = {
    "all": lambda numbers: summary_markdown(*numbers),
    "brief": lambda numbers: to_markdown(brief_table(*numbers[:2])),
    "errors": lambda numbers: _each_views(numbers, lambda views: error_table(*numbers[:2], views), numbers[3]),
    "changes": lambda numbers: _each_views(numbers, lambda views: change_table(*numbers[:2], views)),
    "race": lambda numbers: _each_views(numbers, lambda views: race_table(numbers[0], numbers[2], views)),
    "scans": lambda numbers: _each_views(numbers, lambda views: scan_table(*numbers[:2], views)),
}
"""Tables of a benchmark, by the second word of a marker in a .md file."""


def keep(run: Path, results: Path, command: str = "") -> list[Path]:
    """Keep the numbers of a finished benchmark, or the tables that a script wrote; the files that hold them now.

    Raises:
        InputError: see `keep_benchmark`; or the folder holds neither.
    """
    if (run / DEFINITION).is_file():
        return [keep_benchmark(run, results, command)]
    tables = [file for file in sorted(run.glob("*.csv")) if file.with_suffix(".json").is_file()]
    if not tables:
        raise InputError(f"{run} holds neither a benchmark nor the tables of a script: pass the folder they wrote")
    return [_keep_script_table(table, results, command) for table in tables]


def _keep_script_table(table: Path, results: Path, command: str) -> Path:
    """Copy a table; its origin last, which says that it is there, with the command that was given."""
    origin = read_origin(table.parent, table.stem)
    with whole_file(results / table.name) as copy:
        shutil.copyfile(table, copy)
    named = replace(origin, command=command or origin.command)
    write_text(results / f"{table.stem}.json", json.dumps(asdict(named), indent=1) + "\n")
    return results / table.name


def keep_benchmark(run: Path, results: Path, command: str = "") -> Path:
    """Keep the numbers of a finished benchmark.

    Args:
        run: its results folder.
        results: folder of kept results, beside the definitions.
        command: command that made it; empty: `baseh3d bench` of its definition.

    Raises:
        InputError: the definition has changed since, or its heads were others (`--data`), a fit is missing, or versions
            or machines are mixed.
    """
    definition = read_definition(run / DEFINITION)
    ours = results.parent / f"{definition.name}.toml"
    if not ours.is_file() or ours.read_text(encoding="utf-8") != (run / DEFINITION).read_text(encoding="utf-8"):
        raise InputError(f"{run / DEFINITION} is not {ours}: run the benchmark again")
    if definition.data.synthetic and (run / DATA_PATH).is_file():
        raise InputError(f"{run} was run with --data: its numbers are not those of {ours}, which makes its own heads")
    frame = read_results(run / RESULTS)
    lacking = frame[frame["status"].isin(["failed", "missing"])]
    if len(lacking):
        raise InputError(f"{run} is not finished ({lacking.iloc[0]['row']}, {lacking.iloc[0]['scene']}): run it again")
    machines = sorted(set(frame["device"]) - {""})
    known = {"version": sorted(set(frame["version"])), "kind of device": sorted(set(map(same_kind, machines)))}
    for name, values in known.items():
        if len(values) != 1:
            raise InputError(f"{run} has more than one {name} ({', '.join(values)}): measure with one")
    command = command or f"baseh3d bench configs/{definition.name}.toml"
    (version,), hashed, settings = known["version"], content_hash(run / DEFINITION), settings_table(definition)
    origin = Origin(command, version, definition.seeds, "; ".join(machines), MEANING, True, hashed, settings=settings)
    curves = results / f"{definition.name}.curves.csv"
    if (run / CURVES).is_file():
        with whole_file(curves) as copy:
            shutil.copyfile(run / CURVES, copy)
    else:
        curves.unlink(missing_ok=True)
    return keep_table(results / f"{definition.name}.csv", frame, origin)


def keep_table(file: Path, frame: pd.DataFrame, origin: Origin) -> Path:
    """Write a table with its origin; the columns of one that is no benchmark are the headings of its table."""
    write_csv(file, frame)
    write_text(file.with_suffix(".json"), json.dumps(asdict(origin), indent=1) + "\n")
    return file


def kept_markdown(results: Path, name: str, view: str = "all") -> str:
    """A kept table with the line of its origin.

    Raises:
        InputError: nothing is kept under that name, its files are damaged, made with different versions or another
            definition, or there is no such view of it.
    """
    origin = read_origin(results, name)
    if not origin.benchmark:
        frame = pd.read_csv(results / f"{name}.csv", keep_default_na=False, na_values=[""])
        cells = [
            tuple(_cell(value, origin.digits.get(column, 0)) for column, value in zip(frame.columns, row, strict=True))
            for row in frame.itertuples(index=False)
        ]
        return f"{origin.line}\n\n{pipe_table(tuple(frame.columns), tuple(cells))}\n"
    frame = read_results(results / f"{name}.csv")
    if others := sorted(set(frame["version"]) - {origin.version}):
        raise InputError(f"{results / name}.csv holds results of {others[0]}, not {origin.version}: measure it again")
    if view not in VIEWS:
        raise InputError(f"{name} has no table '{view}': take {', '.join(VIEWS)}")
    file = results.parent / f"{name}.toml"
    if content_hash(file) != origin.definition:
        raise InputError(f"{file} is not what {name} was measured with: measure it again")
    curves = read_curves(results / f"{name}.curves.csv")
    numbers = read_definition(file), frame, curves, origin.settings
    return f"{origin.line}\n\n{VIEWS[view](numbers).strip()}\n"


def is_kept(results: Path, name: str) -> bool:
    """Whether numbers are kept under that name, of whatever version."""
    return (results / f"{name}.json").is_file()


def read_origin(results: Path, name: str) -> Origin:
    """Origin of kept numbers.

    Raises:
        InputError: nothing is kept under that name, or the file is damaged.
    """
    file = results / f"{name}.json"
    try:
        return TypeAdapter(Origin).validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no {file}: keep that result first (scripts/update_readme.py --help)") from error
    except ValidationError as error:
        raise InputError(f"{file} is damaged: keep that result again") from error


def is_current(results: Path, name: str) -> bool:
    """Whether numbers are kept under that name, of this version (but for its last number) and the definition as it is.

    Raises:
        InputError: the file is damaged.
    """
    if not is_kept(results, name):
        return False
    origin = read_origin(results, name)
    unchanged = not origin.benchmark or origin.definition == content_hash(results.parent / f"{name}.toml")
    return unchanged and same_minor(origin.version)


def same_minor(version: str) -> bool:
    """Whether a version is this one, but for its last number."""
    return version.split(".")[:2] == __version__.split(".")[:2]


def note_kept_times(eta: Eta, results: Path) -> None:
    """Remember how long the cells of all kept benchmarks took; what is damaged or of another time says nothing.

    Args:
        eta: learns the times.
        results: folder of kept results, beside the definitions.
    """
    for file in sorted(results.glob("*.json")):
        with contextlib.suppress(InputError, OSError, ValueError):
            if read_origin(results, file.stem).benchmark and is_current(results, file.stem):
                definition = read_definition(results.parent / f"{file.stem}.toml")
                frame = read_results(file.with_suffix(".csv"))
                for one in frame[frame["status"] == "done"].fillna({"train_s": 0.0, "score_s": 0.0}).itertuples():
                    eta.note(_work_of(definition, one), one.train_s, one.score_s)


def _work_of(definition: Definition, one: Any) -> Work:
    """A line of kept results, as far as its time depends on it; without its size where its row is gone."""
    trained = {row.name: (row.method, definition.options_of(row)) for row in definition.rows}
    trained |= {f"prior {name}": (prior.method, prior.options) for name, prior in definition.priors.items()}
    if one.row in trained:
        method, options = trained[one.row]
        return Work(one.kind, one.row, method, one.views, one.steps, size_of(method, options))
    made = definition.data.synthetic
    return Work(one.kind, one.row, steps=photos_of(made) if one.kind == "data" and made else 0)


def _cell(value: float | int | str, digits: int) -> str:
    return value if isinstance(value, str) else number(float(value), digits)


def _each_views(numbers: Numbers, make: Callable[[str], Table], *others: Table) -> str:
    tables = [*map(make, numbers[0].all_views), *others]
    return "\n\n".join(to_markdown(table) for table in tables if table.rows)
