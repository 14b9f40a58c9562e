"""Definitions from TOML files: a mistake is named in one sentence, with the nearest known name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from baseh3d_ns.benchmark.commands import Options, method_config
from baseh3d_ns.benchmark.definition import OWN_HEADS, DataSource, Definition, PriorRun, Row, SnapshotRef, SyntheticData
from baseh3d_ns.bounds import check_option
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError, nearest
from baseh3d_ns.heads.readers import BUILTIN

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UNKNOWN = "unexpected_keyword_argument"
"""Pydantic's name of that error."""
TABLES = {"rows": Row, "priors": PriorRun, "data": DataSource, "synthetic": SyntheticData}
"""Class of a table, by the key it stands under."""
DECIDED = {
    "data": "say it by [data]",
    "pipeline.datamanager.data": "say it by [data]",
    "machine.seed": "say it by seeds of the definition, or by seed of a prior",
    **dict.fromkeys(("output-dir", "experiment-name", "timestamp"), "say the folder of all results by --out"),
}
"""Options that the benchmark gives to every training, and what to do instead."""
OF_DATA = (*OWN_HEADS, "pipeline.datamanager.scenes")
DECIDED_OF_ROWS = {**DECIDED, "load-prior": "say it by prior = ..."}
DECIDED_OF_PRIORS = {
    **DECIDED,
    "load-prior": "drop it, a pre-training starts from nothing",
    "epochs": "say it by epochs = ...",
    "snapshot-epochs": "say it by snapshots = ...",
    "pipeline.datamanager.scenes": "drop it, all scans are learned from but those of the definition's scenes",
}


def read_definition(path: Path, folder: Path | None = None) -> Definition:
    """Read and check a definition.

    Args:
        path: the file.
        folder: folder from which files of priors are named; None: the working folder.

    Raises:
        InputError: no such file, not TOML, a key, method, option, change or published result that is not known (the
            nearest is named), a value that is missing, of another type or out of its bounds, an option that the
            benchmark sets itself, two rows of one name, a shape space as a row, a pre-training that is none, or a
            prior that is not there.
    """
    path = Path(path)
    if not path.is_file():
        near = nearest(path.name, [file.name for file in path.parent.glob("*.toml")]) if path.parent.is_dir() else ""
        raise InputError(f"no such definition: {path}" + (f"; nearest: {near}" if near else "; pass a .toml file"))
    try:
        table = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML ({error}): see the definitions in configs") from error
    try:
        # As JSON, where lists may become tuples and texts paths, and nothing else becomes anything.
        definition = TypeAdapter(Definition).validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        # A misspelt key comes before the one that it leaves missing.
        found = sorted(error.errors(), key=lambda one: one["type"] != UNKNOWN)
        raise InputError(_sentence(dict(found[0]), path)) from error
    definition = definition.beside(folder) if folder else definition
    check_definition(definition, path)
    return definition


def content_hash(path: Path) -> str:
    """Hash of everything in a definition but its title and its comments; empty where there is no such file."""
    if not path.is_file():
        return ""
    table = {name: value for name, value in tomllib.loads(read_text(path)).items() if name != "title"}
    return hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _sentence(error: dict[str, Any], path: Path) -> str:
    """An error of pydantic in one sentence."""
    *parents, key = error["loc"]
    where = str(path)
    if parents:
        name = f"row {parents[1] + 1}" if parents[0] == "rows" and len(parents) > 1 else ".".join(map(str, parents))
        where += f", {name}" if name.startswith("row ") else f", [{name}]"
    if error["type"] == UNKNOWN:
        table = next((TABLES[part] for part in reversed(parents) if part in TABLES), Definition)
        return f"{where}: unknown key '{key}'; nearest: {nearest(key, [one.name for one in dataclasses.fields(table)])}"
    if error["type"] == "missing":
        return f"{where}: '{key}' is missing: add it"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{where}: {key} is {error['input']!r}: {message}"


def check_definition(definition: Definition, path: Path) -> None:
    """Raise `InputError` for what no single table shows."""
    from baseh3d_ns.benchmark.perturb import CHANGES
    from baseh3d_ns.benchmark.published import PUBLISHED

    data = definition.data
    if (data.path is None) == (data.synthetic is None):
        raise InputError(f"{path}, [data]: give either path or synthetic")
    if data.synthetic is not None:
        _check_synthetic(data.synthetic, f"{path}, [data.synthetic]")
    for change in data.changes:
        if change not in CHANGES:
            raise InputError(f"{path}, [data]: no change '{change}'; nearest: {nearest(change, CHANGES)}")
    names = [row.name for row in definition.rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"{path}: two rows are called '{min(twice)}': their results could not be told apart")
    for row in definition.rows:
        where = f"{path}, row '{row.name}'"
        _check_start(definition, row, where)
        if row.published and row.published not in PUBLISHED:
            near = nearest(row.published, PUBLISHED)
            raise InputError(f"{where}: nothing published as '{row.published}'; nearest: {near}")
        check_method(row.method, {}, where)
        # A method that is no row would also lack options that all rows are given.
        _check_trains_one_head(row, where)
        check_method(row.method, definition.options_of(row), where)
    for name, prior in definition.priors.items():
        own_heads = data.path is None and not prior.scene  # a shape space beside synthetic data
        decided = {one: remedy for one, remedy in DECIDED_OF_PRIORS.items() if not own_heads or one not in OF_DATA}
        _check_undecided(prior.options, decided, f"{path}, [priors.{name}]")
        check_method(prior.method, prior.options, f"{path}, [priors.{name}]")
        _check_pretraining(prior, f"{path}, [priors.{name}]")


def _check_synthetic(made: SyntheticData, where: str) -> None:
    """Raise `InputError` for heads that `baseh3d synth` would not make."""
    from baseh3d_ns.synthetic.dataset import Recipe, check_recipe

    try:
        check_recipe(Recipe(made.subjects, made.views, made.size, made.seed, noise=(), contact_sheet=False))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _check_pretraining(prior: PriorRun, where: str) -> None:
    """A prior of one head has a scene and epochs; a shape space has neither."""
    from baseh3d_ns.shape_space.trainer import ShapeTrainerConfig
    from baseh3d_ns.training.prior import PriorTrainerConfig

    config = method_config(prior.method)
    if isinstance(config, ShapeTrainerConfig):
        if prior.scene or prior.epochs or prior.snapshots:
            raise InputError(f"{where}: {prior.method} learns many heads: leave out scene, epochs and snapshots")
    elif not isinstance(config, PriorTrainerConfig):
        raise InputError(
            f"{where}: {prior.method} writes no prior: take baseh3d-prior, h3dnet-prior or their fast ones"
        )
    elif not prior.scene or prior.epochs < 1:
        raise InputError(f"{where}: name the scene it is of, and its epochs")
    elif any(not 0 < epochs <= prior.epochs for epochs in prior.snapshots):
        raise InputError(f"{where}: snapshots lie between 1 and its {prior.epochs} epochs")


def _check_start(definition: Definition, row: Row, where: str) -> None:
    """A row's prior is one of ours and kept after those epochs, or a file that is there."""
    decided = DECIDED_OF_ROWS
    if definition.epochs_of(row):
        decided = {**decided, "epochs": "drop it, the row or the definition says epochs = ..."}
    _check_undecided(definition.options_of(row), decided, where)
    start = definition.start_of(row)
    if isinstance(start, SnapshotRef):
        run = definition.priors[start.name]
        kept = {*run.snapshots, run.epochs}
        if start.epochs is not None and start.epochs not in kept:
            raise InputError(
                f"{where}: prior '{start.name}' is kept after {sorted(kept)} epochs, not after {start.epochs}"
            )
    elif start is not None and start != BUILTIN and not start.exists():
        near = nearest(str(start), [*definition.priors, str(BUILTIN)])
        raise InputError(f"{where}: no prior '{start}'; nearest: {near}")


def _check_trains_one_head(row: Row, where: str) -> None:
    """Raise `InputError` where a row's method learns a shape space."""
    from baseh3d_ns.shape_space.trainer import ShapeTrainerConfig

    if isinstance(method_config(row.method), ShapeTrainerConfig):
        raise InputError(f"{where}: {row.method} learns many heads, and is no row: say it by [priors]")


def _check_undecided(options: Options, decided: dict[str, str], where: str) -> None:
    """Raise `InputError` for an option that the benchmark sets itself, with what to do instead."""
    for name in options:
        if remedy := decided.get(name.replace("_", "-")):
            raise InputError(f"{where}: its option '{name}' is set by the benchmark: {remedy}")


def check_method(name: str, options: Options, where: str) -> None:
    """Raise `InputError` unless nerfstudio knows the method, and the method the options, within their bounds."""
    from nerfstudio.configs.method_configs import all_methods

    from baseh3d_ns.training.trainer import SdfTrainerConfig

    if name not in all_methods:
        raise InputError(f"{where}: no method '{name}'; nearest: {nearest(name, all_methods)}")
    for path, value in options.items():
        if isinstance(value, dict):
            while isinstance(value, dict) and value:
                part, value = next(iter(value.items()))
                path += f".{part}"
            if value == {}:
                raise InputError(f"{where}: its option {path} is an empty table: drop it")
            raise InputError(f'{where}: its option {path} has no quotes: write "{path}" = {json.dumps(value)}')
        owner: Any = all_methods[name]
        for part in path.replace("-", "_").split("."):
            known = owner if isinstance(owner, dict) else getattr(owner, "__dataclass_fields__", {})
            if part not in known:
                near = f"; nearest to '{part}': {nearest(part, known)}" if known else ""
                raise InputError(f"{where}: {name} has no option '{path}'{near}")
            parent, owner = owner, owner[part] if isinstance(owner, dict) else getattr(owner, part)
        if isinstance(all_methods[name], SdfTrainerConfig):
            try:
                check_option(parent, part, value, path)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
