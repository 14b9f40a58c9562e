"""From a definition to its cells: names of scenes, views and priors are resolved before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from baseh3d_ns.benchmark.cells import Cell, ChangeSpec, DataSpec, FitSpec, FloorSpec, PriorSpec, SceneId
from baseh3d_ns.benchmark.commands import method_config
from baseh3d_ns.benchmark.content import content_of, content_of_heads
from baseh3d_ns.benchmark.definition import OWN_HEADS, Definition, PriorRun, Row, SnapshotRef
from baseh3d_ns.data.h3ds_root import H3dsRoot, choose_views, open_h3ds
from baseh3d_ns.errors import InputError, nearest
from baseh3d_ns.evaluation.scores import check_scene
from baseh3d_ns.heads.readers import find_head_file
from baseh3d_ns.shape_space.sources import h3ds_scans
from baseh3d_ns.synthetic.camera_path import VIEW_COUNTS


@dataclass(frozen=True)
class _Source:
    """Scenes and where they come from."""

    scenes: dict[str, str]
    """Names as in the tables, and ids (synthetic: the same names)."""
    root: H3dsRoot | None = None
    """None where a cell makes the data."""
    needs: tuple[Cell, ...] = ()
    """The cell that makes the data."""

    def identity(self, name: str) -> SceneId:
        """Identity of a scene, wherever the data lie."""
        if self.root is None:
            return SceneId(name)
        scene_id = self.scenes.get(name) or self.root.resolve_scene(name)
        return SceneId(scene_id, _photographed_content(self.root, scene_id), self.root.version)


@dataclass(frozen=True)
class _Copy:
    """A scene as it is, or a changed copy of it."""

    name: str
    """Name in the tables."""
    scene: SceneId
    change: str
    needs: tuple[Cell, ...]


def _photographed_content(root: H3dsRoot, scene_id: str) -> str:
    """Hash of a scene's folder and of the views that each of its view configurations stands for."""
    names = (*root.h3ds.default_views_configs(scene_id), "all")
    views = {name: root.resolve_views(scene_id, (name,)) for name in names}
    text = content_of(root.path / scene_id) + json.dumps(views, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plan(definition: Definition) -> list[Cell]:
    """Every cell of a definition, those first that others need.

    Raises:
        InputError: no such data, a scene or view configuration they lack, no scan of a root for a shape space to learn
            from, a prior's file that is not there, or two rows that are the same fit.
    """
    source = _source(definition)
    starts = [definition.start_of(row) for row in definition.rows]
    used = {start.name for start in starts if isinstance(start, SnapshotRef)}
    priors = {
        name: _prior_cell(name, prior, source, definition.data.downscale)
        for name, prior in definition.priors.items()
        if name in used
    }
    cells = [*source.needs, *priors.values()]
    for copy in _copies(definition, source):
        cells += [cell for cell in copy.needs if cell.kind == "change"]
        for row in definition.rows:
            cells += [
                _fit_cell(definition, row, copy, views, seed, priors)
                for views in definition.views_of(row)
                for seed in definition.seeds
            ]
        if definition.floor:
            floor = FloorSpec(copy.scene, definition.spacing_mm)
            cells.append(Cell(floor, "floor", copy.name, copy.change, copy.needs))
    _check_distinct(cells)
    return cells


def check_scans(cells: list[Cell], definition: Definition) -> None:
    """Raise `InputError` unless every scan that the cells are scored against can be: before anything is trained.

    Args:
        cells: of a `plan`.
        definition: the one that they are of.
    """
    if definition.data.path is None:
        return
    root = open_h3ds(definition.data.path)
    for scene_id in dict.fromkeys(cell.spec.scene.name for cell in cells if isinstance(cell.spec, FitSpec | FloorSpec)):
        check_scene(root.h3ds, scene_id)


def _source(definition: Definition) -> _Source:
    if definition.data.synthetic is not None:
        make = Cell(DataSpec(definition.data.synthetic), "data")
        return _Source(_synthetic_scenes(definition), needs=(make,))
    root = open_h3ds(definition.data.path or Path())
    scenes = _scenes(root, definition)
    for scene_id in scenes.values():
        for views in definition.all_views:
            root.resolve_views(scene_id, (views,))
    _check_prior_scenes(root, definition)
    return _Source(scenes, root)


def _synthetic_scenes(definition: Definition) -> dict[str, str]:
    made = definition.data.synthetic
    assert made is not None
    there = [f"scan{number}" for number in range(made.subjects)]
    wanted = there if definition.scenes == ("all",) else list(definition.scenes)
    learned = [prior for prior in definition.priors.values() if prior.scene]
    for name in (*wanted, *(prior.scene for prior in learned if prior.scene)):
        if name not in there:
            raise InputError(f"the synthetic data of {definition.name} lack '{name}'; nearest: {nearest(name, there)}")
    # Indices of a view configuration are known once there are cameras; the names of configurations, before.
    choices: dict[str, list[int]] = {str(n): [] for n in VIEW_COUNTS if n <= made.views}
    for views in (*definition.all_views, *(prior.views for prior in learned)):
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
        raise InputError(f"{root.path} lacks {len(missing)} of the scenes ({', '.join(missing[:5])}): put them there")
    return found


def _check_prior_scenes(root: H3dsRoot, definition: Definition) -> None:
    """Raise `InputError` unless the root has the scenes of the pre-trainings."""
    for name, prior in definition.priors.items():
        if prior.scene:
            scene_id = root.resolve_scene(prior.scene)
            root.resolve_views(scene_id, (prior.views,))
            if not (root.path / scene_id).is_dir():
                raise InputError(f"{root.path} lacks {prior.scene}, which the prior '{name}' is of: put it there")


def _copies(definition: Definition, source: _Source) -> Iterator[_Copy]:
    """Every scene, or every changed copy of it."""
    for name in source.scenes:
        scene = source.identity(name)
        if not definition.data.changes:
            yield _Copy(name, scene, "", source.needs)
        for change in definition.data.changes:
            label = f"{name}, {change}"
            make = Cell(ChangeSpec(scene, change), "change", label, change, source.needs)
            yield _Copy(label, scene, change, (make,))


def _prior_cell(name: str, prior: PriorRun, source: _Source, downscale: float) -> Cell:
    # Where the heads lie decides nothing.
    options = {option: value for option, value in prior.options.items() if option not in OWN_HEADS}
    spec = PriorSpec(prior.method, options, prior.epochs, prior.snapshots, prior.seed)
    if prior.scene:
        scene = source.identity(prior.scene)
        spec = replace(spec, scene=scene, views=prior.views, downscale=downscale)
        return Cell(spec, f"prior {name}", needs=source.needs)
    if source.root is not None:
        scans = _learned(name, source.root, set(source.scenes.values()))
        spec = replace(spec, scans=scans, dataset=source.root.version)
    elif heads := prior.own_heads:
        return Cell(replace(spec, dataset=content_of_heads(heads)), f"prior {name}", heads=heads)
    return Cell(spec, f"prior {name}")


def _learned(name: str, root: H3dsRoot, tested: set[str]) -> tuple[SceneId, ...]:
    """Scans of a root that a shape space is learned from: none that its fits are tested on."""
    scans = [one for one in h3ds_scans(root.path) if one not in tested]
    if not scans:
        raise InputError(
            f"{root.path} has no scan that the prior '{name}' may be learned from, beside those that are tested on: "
            "put more scenes there, or take fewer scenes"
        )
    return tuple(SceneId(one, content_of(root.path / one)) for one in scans)


def _fit_cell(definition: Definition, row: Row, copy: _Copy, views: str, seed: int, priors: dict[str, Cell]) -> Cell:
    needs, identity = copy.needs, ""
    start = definition.start_of(row) or getattr(method_config(row.method), "load_prior", None)
    if isinstance(start, SnapshotRef):
        needs, identity = (*needs, priors[start.name]), str(start.epochs or "")
    elif start is not None:
        identity = hashlib.sha256(find_head_file(start).read_bytes()).hexdigest()[:12]
    spec = FitSpec(
        method=row.method,
        options=definition.options_of(row),
        scene=copy.scene,
        views=views,
        seed=seed,
        epochs=definition.epochs_of(row),
        downscale=definition.data.downscale,
        spacing_mm=definition.spacing_mm,
        curve=definition.curve,
        start=identity,
    )
    return Cell(spec, row.name, copy.name, copy.change, needs, start)


def _check_distinct(cells: list[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.id, cell)
        if other is not cell:
            raise InputError(f"'{other.label}' and '{cell.label}' are the same fit: take one of them out")
