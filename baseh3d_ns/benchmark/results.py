"""Measurements of a benchmark: one JSON a cell, and tidy tables (pandas, CSV) of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from baseh3d_ns.benchmark.point import Point
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_text

RESULT, FAILURE = "result.json", "failure.json"
Number = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""A measurement: an error, a time, a size."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A number of steps or epochs, or a seed."""
Kind = Literal["data", "change", "prior", "fit", "floor"]


@dataclass(frozen=True)
class Result:
    """One cell, measured; all errors in millimetres."""

    id: str
    row: str
    method: str
    scene: str
    """Name of the scene in the definition (scan3), or its id; of a changed copy with the change."""
    scene_id: str
    views: str
    seed: Count
    status: Literal["done", "failed", "skipped", "missing"]
    """missing: it did not run yet."""
    kind: Kind = "fit"
    change: str = ""
    """Change of a copy (`perturb.CHANGES`); empty for the scene itself."""
    reason: str = ""
    """Why it failed or was skipped, one sentence."""
    epochs: Count = 0
    steps: Count = 0
    face_mm: Number | None = None
    """Error of the h3ds package."""
    head_mm: Number | None = None
    face_rigid_mm: Number | None = None
    """Rigid error, both ways, to the surface."""
    head_rigid_mm: Number | None = None
    train_s: Number | None = None
    score_s: Number | None = None
    peak_memory_gb: Number | None = None
    device: str = ""
    version: str = ""
    """Version of this plugin."""
    config: str = ""
    """Configuration of the h3ds package that scored it, like `config_v1`."""
    curve: tuple[Point, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether it has scores."""
        return self.status == "done"

    def save(self, folder: Path) -> None:
        """Write `result.json`, or `failure.json`, which the next try replaces; all of it or nothing.

        Raises:
            InputError: the disk is full or not writable.
        """
        write_text(folder / (RESULT if self.done else FAILURE), json.dumps(asdict(self), indent=1))


def load_result(folder: Path, name: str = RESULT) -> Result | None:
    """The result (or the failure) in a cell's folder, or None where it has none.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / name
    if not file.is_file():
        return None
    try:
        return TypeAdapter(Result).validate_json(read_text(file))
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        said = f"{where}: {wrong['msg']}" if where else wrong["msg"]
        raise InputError(f"{file} is damaged ({said}): move it away, and `baseh3d bench` fills it in again") from error


COLUMNS = tuple(item.name for item in fields(Result) if item.name not in ("curve", "provenance"))
NUMBERS = {name: int for name in ("seed", "epochs", "steps")} | {
    name: float
    for name in (
        *("face_mm", "head_mm", "face_rigid_mm", "head_rigid_mm"),
        *("train_s", "score_s", "peak_memory_gb"),
    )
}
"""Types of the columns that hold no text; missing scores are NaN."""
CURVE_COLUMNS = ("row", "scene", "views", "seed", "step", "seconds", "face_mm", "head_mm")


def to_frame(results: Iterable[Result]) -> pd.DataFrame:
    """One line a result, one column a number: everything but curves and provenance."""
    lines = [[getattr(result, column) for column in COLUMNS] for result in results]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(NUMBERS)


def curves_frame(results: Iterable[Result]) -> pd.DataFrame:
    """One line a score on the way of a finished fit."""
    lines = [
        (one.row, one.scene, one.views, one.seed, point.step, point.seconds, point.face_mm, point.head_mm)
        for one in results
        if one.done
        for point in one.curve
    ]
    return pd.DataFrame(lines, columns=list(CURVE_COLUMNS))


def write_csv(file: Path, frame: pd.DataFrame) -> None:
    """Write a tidy table, numbers to four digits.

    Raises:
        InputError: the disk is full or not writable.
    """
    write_text(file, frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def read_results(file: Path) -> pd.DataFrame:
    """The table of `to_frame`, from its CSV.

    Raises:
        InputError: it lacks a column.
    """
    texts = {column: str for column in COLUMNS if column not in NUMBERS}
    frame = pd.read_csv(file, dtype=texts, keep_default_na=False, na_values={name: [""] for name in NUMBERS})
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise InputError(f"{file} has no column '{missing[0]}': measure it again with this version")
    return frame.astype(NUMBERS)


def read_curves(file: Path) -> pd.DataFrame:
    """The table of `curves_frame`, from its CSV; empty where there is none."""
    if not file.is_file():
        return curves_frame([])
    texts = {name: str for name in ("row", "scene", "views")}
    return pd.read_csv(file, dtype=texts, keep_default_na=False)
