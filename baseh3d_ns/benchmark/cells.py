"""The cells of a benchmark, each a process, and everything that decides the result of each.

- data: makes the synthetic subjects
- change: makes a changed copy of one scene
- prior: a pre-training, shared by all fits that start from it
- fit: trains one head and scores it
- floor: the scan itself, meshed by our mesher and scored: the score of a perfect surface
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.commands import Options
from baseh3d_ns.benchmark.definition import STRICT, SnapshotRef, SyntheticData
from baseh3d_ns.benchmark.results import FAILURE, Kind, Result, load_result
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_text
from baseh3d_ns.heads.readers import BUILTIN

CELL, CELLS = "cell.json", "cells"
LONGEST_NAME = 80
"""Letters of a label that a folder's name begins with: file systems take 255 at most."""
DATA = "heads"
"""Folder of the root in a cell that makes one."""


@dataclass(frozen=True, config=STRICT)
class SceneId:
    """One scene, wherever its data lie."""

    name: str
    """Name for `--scene`: an id, or scanN of synthetic subjects."""
    content: str = ""
    """Hash of its files (`content_of`); empty where the data are made by a cell."""
    dataset: str = ""
    """Version of the dataset."""


@dataclass(frozen=True, config=STRICT)
class DataSpec:
    """Synthetic subjects."""

    synthetic: SyntheticData
    kind: Literal["data"] = "data"
    version: str = __version__


@dataclass(frozen=True, config=STRICT)
class ChangeSpec:
    """A changed copy of a scene."""

    scene: SceneId
    change: str
    kind: Literal["change"] = "change"
    version: str = __version__


@dataclass(frozen=True, config=STRICT)
class PriorSpec:
    """A pre-training."""

    method: str
    options: Options
    epochs: int
    snapshots: tuple[int, ...]
    seed: int
    views: str = ""
    downscale: float = 1.0
    scene: SceneId | None = None
    """None for a shape space."""
    scans: tuple[SceneId, ...] = ()
    """Scans that a shape space is learned from; empty: heads of its own."""
    dataset: str = ""
    """Version of the dataset of those scans, or hash of a folder of other heads."""
    kind: Literal["prior"] = "prior"
    version: str = __version__


@dataclass(frozen=True, config=STRICT)
class FitSpec:
    """A fit of one head, scored."""

    method: str
    options: Options
    scene: SceneId
    views: str
    seed: int
    epochs: int
    """0: as long as the method takes by itself."""
    downscale: float
    spacing_mm: float
    curve: tuple[float, ...]
    start: str = ""
    """Snapshot (epochs) of the prior among the cells it needs, hash of a prior's file, or empty."""
    kind: Literal["fit"] = "fit"
    version: str = __version__


@dataclass(frozen=True, config=STRICT)
class FloorSpec:
    """The scan of a scene, meshed and scored."""

    scene: SceneId
    spacing_mm: float
    kind: Literal["floor"] = "floor"
    version: str = __version__


Spec = Annotated[DataSpec | ChangeSpec | PriorSpec | FitSpec | FloorSpec, Field(discriminator="kind")]


@dataclass(frozen=True, config=STRICT)
class CellFile:
    """Content of cell.json: all that the process of a cell has to know, besides where its inputs lie."""

    id: str
    spec: Spec


@dataclasses.dataclass(frozen=True)
class Cell:
    """One process of a benchmark."""

    spec: Spec
    """Everything that decides the result."""
    row: str = ""
    """Name of its row in the tables, or of the thing it makes. Names are for people, and no part of the identity."""
    scene: str = ""
    """Scene as the tables name it."""
    change: str = ""
    """Change of the scene's copy."""
    needs: tuple[Cell, ...] = ()
    """Cells that have to be done before."""
    start: SnapshotRef | Path | None = None
    """Start of a fit: a snapshot of the prior cell among `needs`, a file, `builtin`, or nothing."""
    heads: Path | None = None
    """Folder of the heads that a shape space is learned from, where they are not those of the benchmark."""

    @property
    def kind(self) -> Kind:
        """Kind of the cell."""
        return self.spec.kind

    @cached_property
    def id(self) -> str:
        """Hash of everything that decides the result, also of the cells it needs."""
        content = {"spec": dataclasses.asdict(self.spec), "needs": [cell.id for cell in self.needs]}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """All its names in one line."""
        parts = [self.kind if self.kind in ("data", "floor", "change") else self.row, self.scene]
        if isinstance(self.spec, FitSpec):
            parts += [f"{self.spec.views} views", f"seed {self.spec.seed}" if self.spec.seed else ""]
        return ", ".join(part for part in parts if part)

    def folder(self, run: Path) -> Path:
        """Its folder; a row that was renamed keeps the folder it had."""
        there = sorted((run / CELLS).glob(f"*-{self.id}"))
        readable = re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")[:LONGEST_NAME]
        return there[0] if there else run / CELLS / f"{readable}-{self.id}"

    def prepare(self, run: Path) -> Path:
        """Make its folder with cell.json, or check the one that is there.

        Raises:
            InputError: the folder holds another configuration, or cannot be written to.
        """
        folder = self.folder(run)
        content = TypeAdapter(CellFile).dump_json(CellFile(self.id, self.spec), indent=1).decode()
        file = folder / CELL
        if file.is_file():
            if read_text(file) != content:
                raise InputError(f"{file} is of another configuration than this cell: move that folder away")
            return folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --out") from error
        write_text(file, content)
        return folder

    def result(self, run: Path) -> Result | None:
        """Its result or failure, under the names this definition uses."""
        folder = self.folder(run)
        found = load_result(folder) or load_result(folder, FAILURE)
        return found and replace(found, row=self.row, scene=self.scene, change=self.change)

    def no_result(self, reason: str) -> Result:
        """A failure in the place of a result, with the reason."""
        blank = blank_result(CellFile(self.id, self.spec))
        return replace(blank, row=self.row, scene=self.scene, change=self.change, reason=reason)

    def data_root(self, run: Path, given: Path | None) -> Path | None:
        """Root of its scenes (or folder of its heads): made by a cell that it needs, its own, or the one given."""
        made = [needed.folder(run) / DATA for needed in self.needs if needed.kind in ("data", "change")]
        root = made[-1] if made else self.heads or given
        return root and root.resolve()

    def prior_file(self, run: Path) -> Path | None:
        """The file a fit starts from, once the cells it needs are done; None from nothing.

        Raises:
            InputError: the prior's cell lacks that snapshot.
        """
        if not isinstance(self.start, SnapshotRef):
            return self.start.resolve() if self.start and self.start != BUILTIN else self.start
        (prior,) = (needed for needed in self.needs if needed.kind == "prior")
        written = sorted(prior.folder(run).rglob("prior-*.safetensors"))
        fitting = [file for file in written if self.start.epochs in (None, int(file.stem.removeprefix("prior-")))]
        if not fitting:
            after = self.start.epochs or "any"
            raise InputError(f"{prior.folder(run)} holds no prior after {after} epochs: move that folder away")
        return fitting[-1]


def read_cell(folder: Path) -> CellFile:
    """The cell.json of a folder.

    Raises:
        InputError: it is not there or damaged.
    """
    try:
        return TypeAdapter(CellFile).validate_json(read_text(folder / CELL))
    except (InputError, ValidationError) as error:
        raise InputError(f"{folder / CELL} describes no cell: move that folder away") from error


def blank_result(cell: CellFile) -> Result:
    """A result without scores, under no name."""
    known: dict[str, Any] = {"method": "", "views": "", "seed": 0, "epochs": 0}
    known = {name: getattr(cell.spec, name, nothing) for name, nothing in known.items()}
    return Result(
        id=cell.id, row="", scene="", scene_id="", status="failed", kind=cell.spec.kind, version=__version__, **known
    )
