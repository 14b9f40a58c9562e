"""The cells of a benchmark and what each needs: a graph of processes, each named by the hash of what decides it.

- data: makes the synthetic subjects
- prior: a pre-training, shared by all fits that start from it
- fit: trains one head and scores it
- floor: the scan itself, meshed by our mesher and scored: what a perfect surface would get
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.commands import method_config
from baseh3d_ns.benchmark.definition import Definition, PriorRun, Row
from baseh3d_ns.benchmark.results import FAILURE, FLOOR, Result, load_result
from baseh3d_ns.data.h3ds_root import H3dsRoot, choose_views, open_h3ds
from baseh3d_ns.errors import InputError, nearest
from baseh3d_ns.files import write_atomically
from baseh3d_ns.heads.readers import BUILTIN, find_prior_file
from baseh3d_ns.synthetic.camera_path import VIEW_COUNTS

CELL, CELLS = "cell.json", "cells"
DATA = "heads"
"""Folder of the synthetic subjects in the cell that makes them."""


@dataclass(frozen=True)
class Cell:
    """One process of a benchmark."""

    kind: str
    row: str
    """Name of its row in the tables, or of what it makes. Names are for people, and no part of the identity."""
    decides: dict[str, Any]
    """Everything that decides the result."""
    needs: tuple[Cell, ...] = ()
    """What has to be there before."""
    scene: str = ""
    """As the definition names it."""
    prior: str = ""
    """Of a fit: `builtin`, a file, or NAME@EPOCHS of the prior cell among `needs`."""

    @cached_property
    def id(self) -> str:
        """Hash of everything that decides the result, also of the cells it needs."""
        content = {**self.decides, "kind": self.kind, "needs": [cell.id for cell in self.needs]}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """All its names in one line."""
        views, seed = self.decides.get("views"), self.decides.get("seed")
        parts = [self.row, self.scene, f"{views} views" if self.kind == "fit" else "", f"seed {seed}" if seed else ""]
        return ", ".join(part for part in parts if part)

    def folder(self, run: Path) -> Path:
        """Its folder; a row that was renamed keeps the folder it had."""
        there = sorted((run / CELLS).glob(f"*-{self.id}"))
        readable = re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")
        return there[0] if there else run / CELLS / f"{readable}-{self.id}"

    def prepare(self, run: Path) -> Path:
        """Make its folder with cell.json, or check the one that is there.

        Raises:
            InputError: the folder holds another configuration, or cannot be written to.
        """
        folder = self.folder(run)
        content = json.loads(json.dumps({"kind": self.kind, "decides": self.decides}, default=str))
        file = folder / CELL
        if file.is_file():
            if json.loads(file.read_text(encoding="utf-8")) != content:
                raise InputError(f"{file} is of another configuration than this cell: move that folder away")
            return folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --out") from error
        write_atomically(file, json.dumps(content, indent=1))
        return folder

    def result(self, run: Path) -> Result | None:
        """What is known of it, under the names this definition uses."""
        folder = self.folder(run)
        found = load_result(folder) or load_result(folder, FAILURE)
        return found and replace(found, row=self.row, scene=self.scene)

    def no_result(self, reason: str) -> Result:
        """In the place of a result: why there is none."""
        known = {key: self.decides.get(key) for key in ("method", "views", "seed", "epochs")}
        return Result(
            id=self.id, row=self.row, method=str(known["method"] or ""), scene=self.scene, scene_id="",
            views=str(known["views"] or ""), seed=int(known["seed"] or 0), status="failed", reason=reason,
            kind=self.kind, epochs=int(known["epochs"] or 0),
        )  # fmt: skip


def plan(definition: Definition, data: Path | None) -> list[Cell]:
    """Every cell of a definition, those first that others need.

    Args:
        data: root to use instead of the definition's.

    Raises:
        InputError: no such data, a scene or view configuration they lack, or two rows that are the same fit.
    """
    if definition.data.synthetic is not None:
        if data is not None:
            raise InputError(f"the definition {definition.name} makes its own data: leave out --data")
        make = Cell("data", "data", {"synthetic": asdict(definition.data.synthetic), "version": __version__})
        scenes = _synthetic_scenes(definition)
        source = _Source(needs=(make,), scenes=scenes, fingerprint={})
    else:
        root = open_h3ds(data or definition.data.path or Path())
        scenes = _scenes(root, definition)
        for scene_id in scenes.values():
            for views in definition.views:
                root.resolve_views(scene_id, (views,))
        _check_prior_scenes(root, definition)
        source = _Source(needs=(), scenes=scenes, fingerprint={"version": root.version}, root=root)
    priors = {prior.name: _prior_cell(prior, source, definition.data.downscale) for prior in definition.priors}
    used = [priors[name] for name in priors if any((row.prior or "").split("@")[0] == name for row in definition.rows)]
    cells = [*source.needs, *used]
    for name in scenes:
        for row in definition.rows:
            cells += [
                _fit_cell(definition, row, name, views, seed, source, priors)
                for views in definition.views
                for seed in definition.seeds
            ]
        floor = {"scene": source.identity(name), "spacing_mm": definition.spacing_mm, "version": __version__}
        cells.append(Cell("floor", FLOOR, floor, source.needs, name))
    _check_distinct(cells)
    return cells


@dataclass(frozen=True)
class _Source:
    needs: tuple[Cell, ...]
    scenes: dict[str, str]
    """Names as in the definition, and ids (synthetic: the same names)."""
    fingerprint: dict[str, str]
    root: H3dsRoot | None = None

    def identity(self, name: str) -> dict[str, str]:
        """What tells one scene from another, wherever the data lie."""
        if self.root is None:
            return {"scene": name}
        scene_id = self.scenes.get(name) or self.root.resolve_scene(name)
        cameras = self.root.path / scene_id / "cameras.npz"
        content = hashlib.sha256(cameras.read_bytes()).hexdigest()[:12] if cameras.is_file() else "not there"
        return {"scene": scene_id, "cameras": content, **self.fingerprint}


def _synthetic_scenes(definition: Definition) -> dict[str, str]:
    assert definition.data.synthetic is not None
    made = definition.data.synthetic
    there = [f"scan{number}" for number in range(made.subjects)]
    wanted = there if definition.scenes == ("all",) else list(definition.scenes)
    for name in (*wanted, *(prior.scene for prior in definition.priors if prior.scene)):
        if name not in there:
            raise InputError(f"the synthetic data of {definition.name} lack '{name}'; nearest: {nearest(name, there)}")
    # Which views a choice names is known once there are cameras; what there is to choose from, before.
    choices: dict[str, list[int]] = {str(n): [] for n in VIEW_COUNTS if n <= made.views}
    for views in (*definition.views, *(prior.views for prior in definition.priors if prior.scene)):
        choose_views((views,), made.views, choices, f"{there[0]} of {definition.name}")
    return {name: name for name in wanted}


def _scenes(root: H3dsRoot, definition: Definition) -> dict[str, str]:
    """Scene ids by name: tags of several scenes stand for all of them, as scanN where they have a number."""
    ids = root.scene_ids()
    numbered = {}
    for number in range(len(ids)):
        try:
            numbered[root.resolve_scene(f"scan{number}")] = f"scan{number}"
        except InputError:
            continue
    found: dict[str, str] = {}
    for name in definition.scenes:
        tagged = [one for one in ids if name == "all" or name in root.h3ds.helper.scene_tags(one)]
        for scene_id in tagged or [root.resolve_scene(name)]:
            if scene_id not in found.values():
                found[numbered.get(scene_id, scene_id)] = scene_id
    missing = [name for name, scene_id in found.items() if not (root.path / scene_id).is_dir()]
    if missing:
        raise InputError(f"{root.path} lacks {len(missing)} of the scenes ({', '.join(missing[:5])}): unzip them there")
    return found


def _check_prior_scenes(root: H3dsRoot, definition: Definition) -> None:
    """Raise `InputError` unless the root has what its pre-trainings are of."""
    for prior in definition.priors:
        if prior.scene:
            scene_id = root.resolve_scene(prior.scene)
            root.resolve_views(scene_id, (prior.views,))
            if not (root.path / scene_id).is_dir():
                raise InputError(
                    f"{root.path} lacks {prior.scene}, which the prior '{prior.name}' is of: unzip it there"
                )


def _prior_cell(prior: PriorRun, source: _Source, downscale: float) -> Cell:
    decides = {**asdict(prior), "version": __version__}
    del decides["name"]
    needs = source.needs
    if prior.scene:
        decides |= {"scene": source.identity(prior.scene), "downscale": downscale}
    else:
        # A shape space is learned from all scans there are, or from heads of its own.
        there = [one for one in source.root.scene_ids() if (source.root.path / one).is_dir()] if source.root else []
        decides["scene"] = {**source.fingerprint, "scans": there}
        needs = ()
    return Cell("prior", f"prior {prior.name}", decides, needs)


def _fit_cell(
    definition: Definition, row: Row, scene: str, views: str, seed: int, source: _Source, priors: dict[str, Cell]
) -> Cell:
    needs, prior_identity = source.needs, ""
    prior = row.prior or str(getattr(method_config(row.method), "load_prior", None) or "")
    base = prior.partition("@")[0]
    if base in priors:
        needs = (*needs, priors[base])
        prior_identity = prior.partition("@")[2]
    elif prior:
        prior_identity = hashlib.sha256(find_prior_file(Path(prior)).read_bytes()).hexdigest()[:12]
    decides = {
        "method": row.method,
        "options": {**definition.options, **row.options},
        "scene": source.identity(scene),
        "views": views,
        "seed": seed,
        "epochs": row.epochs or definition.epochs,
        "downscale": definition.data.downscale,
        "spacing_mm": definition.spacing_mm,
        "curve": definition.curve,
        "prior": prior_identity,
        "version": __version__,
    }
    return Cell("fit", row.name, decides, needs, scene, prior)


def _check_distinct(cells: list[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.id, cell)
        if other is not cell:
            raise InputError(f"'{other.label}' and '{cell.label}' are the same fit: take one of them out")


def prior_file(cell: Cell, run: Path) -> Path | None:
    """The file a fit starts from, once the cells it needs are done; None from nothing."""
    if not cell.prior or cell.prior == str(BUILTIN):
        return Path(cell.prior) if cell.prior else None
    made = [needed for needed in cell.needs if needed.kind == "prior"]
    if not made:
        return Path(cell.prior).resolve()
    epochs = cell.prior.partition("@")[2]
    written = sorted(made[0].folder(run).rglob("prior-*.safetensors"))
    fitting = [file for file in written if not epochs or int(file.stem[6:]) == int(epochs)]
    if not fitting:
        raise InputError(f"{made[0].folder(run)} holds no prior after {epochs or 'any'} epochs: move that folder away")
    return fitting[-1]
