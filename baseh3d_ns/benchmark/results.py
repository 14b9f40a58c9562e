"""What a benchmark has measured: one JSON for each cell, read back for tables, the CSV and the report."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_atomically

RESULT, FAILURE = "result.json", "failure.json"
FLOOR = "metric's own floor"
"""Row of the ground truth itself, meshed again by our mesher and scored."""


@dataclass(frozen=True)
class Point:
    """A score on the way: rigid, ground truth to surface, in mm."""

    step: int
    seconds: float
    """Of training, without the scoring itself."""
    face_mm: float
    head_mm: float


@dataclass(frozen=True)
class Result:
    """One fit of one scene, scored; all errors in millimetres."""

    id: str
    row: str
    method: str
    scene: str
    """As the definition names it (scan3), or its id."""
    scene_id: str
    views: str
    seed: int
    status: str
    """done, failed or skipped"""
    kind: str = "fit"
    """Or data, prior, floor."""
    reason: str = ""
    """Why it failed or was skipped, one sentence."""
    epochs: int = 0
    steps: int = 0
    face_mm: float | None = None
    """By the h3ds package."""
    head_mm: float | None = None
    face_rigid_mm: float | None = None
    """Rigid, both ways, to the surface."""
    head_rigid_mm: float | None = None
    train_s: float | None = None
    score_s: float | None = None
    peak_memory_gb: float | None = None
    device: str = ""
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
        write_atomically(folder / (RESULT if self.done else FAILURE), json.dumps(asdict(self), indent=1))


def load_result(folder: Path, name: str = RESULT) -> Result | None:
    """The result (or the failure) in a cell's folder, or None where it has none."""
    file = folder / name
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["curve"] = tuple(Point(**point) for point in content["curve"])
        return Result(**content)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} is damaged ({error}): move it away, and `baseh3d bench` fills it in again") from error


COLUMNS = tuple(item.name for item in fields(Result) if item.name not in ("curve", "provenance"))


def write_csv(file: Path, results: list[Result]) -> None:
    """One line for each result, one column for each number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        values = (getattr(result, column) for column in COLUMNS)
        writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in values])
    write_atomically(file, text.getvalue())


def read_csv(file: Path) -> list[Result]:
    """What `write_csv` wrote: no curves, no provenance."""
    kinds = {item.name: str(item.type) for item in fields(Result)}

    def value(column: str, text: str) -> Any:
        if kinds[column] == "int":
            return int(text)
        if kinds[column].startswith("float"):
            return float(text) if text else None
        return text

    with file.open(encoding="utf-8", newline="") as lines:
        return [
            Result(**{column: value(column, text) for column, text in row.items()}) for row in csv.DictReader(lines)
        ]
