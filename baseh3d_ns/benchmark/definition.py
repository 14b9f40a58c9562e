"""A benchmark: which methods on which scenes; one TOML file, checked before anything runs.

```toml
name = "table2"                      # also the results folder's
title = "Methods on ten scenes"
scenes = ["h3d-net"]                 # ids, scanN, tags; "all"
views = ["3"]                        # one or several view configurations
seeds = [0]
epochs = 2000                        # of every fit, unless its row says otherwise; 0 or left out: the method's own

[data]
path = "data/h3ds"                   # or: synthetic = {subjects = 4, views = 24, size = 256, seed = 5}
changes = ["as it is", "badly captured"]        # optional: every scene also as these copies (perturb.py)

[options]                            # given to the fit of every row
"pipeline.datamanager.train-num-rays-per-batch" = 2048

[priors.scan2]                       # trained once, shared by all fits that name it
method = "baseh3d-prior"
scene = "scan2"
views = "32"
epochs = 500

[[rows]]
name = "BaseH3D-Net"
method = "baseh3d"
prior = "scan2@500"                  # a [priors] table (@epochs: that snapshot), `builtin`, or a file
published = "BaseH3D-Net"            # the published numbers to put beside it

[[rows]]
name = "without photo consistency"   # an ablation is a row
method = "baseh3d"
prior = "scan2"
options = {"pipeline.model.photos.weight" = 0.0}
```
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from baseh3d_ns.benchmark.commands import Options
from baseh3d_ns.evaluation.protocol import SCORED_SPACING_MM
from baseh3d_ns.heads.readers import BUILTIN

STRICT = ConfigDict(extra="forbid", strict=True)
"""Unknown keys and values of another type are errors."""
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
FolderName = Annotated[str, Field(max_length=100, pattern=r"^\w[\w .+-]*$")]
"""A name that a folder may have on every system."""
Names = Annotated[tuple[str, ...], Field(min_length=1)]


OWN_HEADS = ("data", "pipeline.datamanager.data")
"""Options that name the folder of a shape space's heads; the first goes before the second."""


@dataclass(frozen=True, config=STRICT)
class SnapshotRef:
    """A prior of the [priors] tables, after some of its epochs: `NAME@EPOCHS`; `NAME` is its last."""

    name: str
    epochs: int | None = None

    @staticmethod
    def parse(text: str) -> SnapshotRef | None:
        """The reference in a row's `prior`; None where the text cannot be one."""
        found = re.fullmatch(r"([^@]+)(?:@(\d+))?", text)
        return found and SnapshotRef(found[1], int(found[2]) if found[2] else None)


@dataclass(frozen=True, config=STRICT)
class SyntheticData:
    """Arguments of `baseh3d synth`."""

    subjects: Count
    views: int = 24
    size: int = 256
    """Width and height of the photos in pixels."""
    seed: Seed = 0
    noise: bool = False


@dataclass(frozen=True, config=STRICT)
class DataSource:
    """Where the scenes are: a root in the H3DS layout, or synthetic subjects that the benchmark makes."""

    path: Path | None = None
    synthetic: SyntheticData | None = None
    downscale: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] = 1.0
    """Photos are made that many times smaller."""
    changes: tuple[str, ...] = ()
    """Copies of every scene that are fitted instead of it, by their names in `perturb.CHANGES`."""


@dataclass(frozen=True, config=STRICT)
class PriorRun:
    """A pre-training: of one scene, or of a shape space (no scene).

    On a root, a shape space learns its scans but those of `Definition.scenes`; beside synthetic data, the heads of the
    folder that its options name, or else those of its method.
    """

    method: str
    scene: str | None = None
    views: str = "all"
    epochs: int = 0
    """Epochs of a pre-training of one scene; a shape space takes the steps its method says."""
    seed: Seed = 0
    snapshots: tuple[int, ...] = ()
    """Epochs after which a prior is kept, besides the last."""
    options: Options = field(default_factory=dict)

    @property
    def own_heads(self) -> Path | None:
        """Folder that a shape space beside synthetic data is learned from; None where its options name none."""
        return next((Path(str(self.options[name])) for name in OWN_HEADS if name in self.options), None)

    def beside(self, folder: Path) -> PriorRun:
        """The same, with heads that are not here by their path from that folder."""
        heads = self.own_heads
        if heads is None or heads.exists():
            return self
        return replace(self, options={**self.options, OWN_HEADS[0]: str(folder / heads)})


@dataclass(frozen=True, config=STRICT)
class Row:
    """A method with its options: one row of the tables."""

    name: str
    method: str
    prior: str | None = None
    """A [priors] table (`NAME` or `NAME@EPOCHS`), `builtin`, or a file."""
    epochs: CountOrNone | None = None
    """Epochs of its fits; 0: as long as its method takes by itself; left out: as the definition says."""
    views: tuple[str, ...] = ()
    """View configurations of its fits; empty: as the definition says."""
    published: str = ""
    """Name of its published numbers (`published.py`); empty: there are none."""
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Definition:
    """A benchmark."""

    name: FolderName
    title: str
    scenes: Names
    data: DataSource
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    epochs: CountOrNone = 0
    """Epochs of every fit, unless its row says otherwise; 0: as long as its method takes by itself."""
    views: Names = ("3",)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    spacing_mm: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = SCORED_SPACING_MM
    """Distance between the mesh vertices that are scored, the same for every row."""
    curve: tuple[Fraction, ...] = ()
    """Fractions of a fit's steps after which it is also scored on its way (rigid, quickly), and at its end."""
    floor: bool = True
    """Also score the scan itself, meshed by our mesher: no method can score below."""
    priors: dict[str, PriorRun] = field(default_factory=dict)
    options: Options = field(default_factory=dict)

    def on(self, root: Path | None) -> Definition:
        """The same comparison on the scenes of that root; None: on its own."""
        return self if root is None else replace(self, data=replace(self.data, path=root, synthetic=None))

    def beside(self, folder: Path) -> Definition:
        """The same, with the files of priors and heads that are not here by their paths from that folder."""
        rows = []
        for row in self.rows:
            start = self.start_of(row)
            if isinstance(start, Path) and start != BUILTIN and not start.exists():
                row = replace(row, prior=str(folder / start))
            rows.append(row)
        priors = {name: prior.beside(folder) for name, prior in self.priors.items()}
        return replace(self, rows=tuple(rows), priors=priors)

    def start_of(self, row: Row) -> SnapshotRef | Path | None:
        """Start of a row's fits: one of our priors, a file (or `builtin`), or None for the method's own."""
        reference = row.prior and SnapshotRef.parse(row.prior)
        if reference and reference.name in self.priors:
            return reference
        return Path(row.prior) if row.prior else None

    def views_of(self, row: Row) -> tuple[str, ...]:
        """View configurations of a row's fits."""
        return row.views or self.views

    def epochs_of(self, row: Row) -> int:
        """Epochs of a row's fits; 0: as long as its method takes by itself."""
        return self.epochs if row.epochs is None else row.epochs

    def options_of(self, row: Row) -> Options:
        """Options of a row's fits."""
        return {**self.options, **row.options}

    @property
    def all_views(self) -> tuple[str, ...]:
        """View configurations of all rows, each once."""
        return tuple(dict.fromkeys(views for row in self.rows for views in self.views_of(row)))

    def rows_with(self, views: str) -> tuple[Row, ...]:
        """Rows that are fitted to a view configuration."""
        return tuple(row for row in self.rows if views in self.views_of(row))
