"""What a benchmark compares: one TOML file, read and checked before anything runs.

```toml
name = "table2"                      # also the results folder's
title = "Methods on ten scenes"
scenes = ["h3d-net"]                 # ids, scanN, tags; "all"
views = ["3"]                        # one or several view configurations
seeds = [0]
epochs = 2000                        # of every fit, unless its row says otherwise

[data]
path = "data/h3ds"                   # or: synthetic = {subjects = 4, views = 24, size = 256, seed = 5}

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
```
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import toml

from baseh3d_ns.benchmark.commands import Options
from baseh3d_ns.errors import InputError, nearest


@dataclass(frozen=True)
class SyntheticData:
    """Arguments of `baseh3d synth`."""

    subjects: int
    views: int = 24
    size: int = 256
    seed: int = 0
    noise: bool = False


@dataclass(frozen=True)
class DataSource:
    """Where the scenes are: a root in the H3DS layout, or synthetic subjects that the benchmark makes."""

    path: Path | None = None
    synthetic: SyntheticData | None = None
    downscale: float = 1.0


@dataclass(frozen=True)
class PriorRun:
    """A pre-training: of one scene, or of a shape space (no scene)."""

    name: str
    method: str
    scene: str | None = None
    views: str = "all"
    epochs: int = 0
    """Of a pre-training of one scene; a shape space takes the steps its method says."""
    snapshots: tuple[int, ...] = ()
    """Epochs after which a prior is kept, besides the last."""
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A method with its options: one row of the tables."""

    name: str
    method: str
    prior: str | None = None
    epochs: int = 0
    """0: as the definition says."""
    published: str = ""
    """Name of its published numbers (`published.py`); empty: there are none."""
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """A benchmark."""

    name: str
    title: str
    scenes: tuple[str, ...]
    data: DataSource
    rows: tuple[Row, ...]
    epochs: int
    views: tuple[str, ...] = ("3",)
    seeds: tuple[int, ...] = (0,)
    spacing_mm: float = 0.6
    """Distance between the mesh vertices that are scored, the same for every row."""
    curve: tuple[float, ...] = ()
    """Fractions of a fit's steps after which it is also scored on its way (rigid, quickly)."""
    priors: tuple[PriorRun, ...] = ()
    options: Options = field(default_factory=dict)


def read_definition(path: Path) -> Definition:
    """Read and check a definition.

    Raises:
        InputError: no such file, not TOML, a key or method that is not known (the nearest is named), a key that is
            missing or of another type, two rows of one name, or a prior that is not there.
    """
    path = Path(path)
    if not path.is_file():
        near = nearest(path.name, [file.name for file in path.parent.glob("*.toml")]) if path.parent.is_dir() else ""
        raise InputError(f"no such definition: {path}" + (f"; nearest: {near}" if near else "; pass a .toml file"))
    try:
        table = toml.loads(path.read_text(encoding="utf-8"))
    except (toml.TomlDecodeError, UnicodeDecodeError, IndexError) as error:
        raise InputError(f"{path} is not TOML ({error}): see the definitions in configs") from error
    definition = _definition(table, path)
    _check(definition, path)
    return definition


def _definition(table: dict[str, Any], path: Path) -> Definition:
    data = dict(_table(table, "data", path))
    if "synthetic" in data:
        data["synthetic"] = _make(SyntheticData, _table(data, "synthetic", path), f"{path}, [data] synthetic")
    if "path" in data:
        data["path"] = Path(str(data["path"]))
    priors = _table(table, "priors", path)
    rows = table.get("rows", [])
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} has no rows: add [[rows]] tables with a name and a method")
    parts = {
        "data": _make(DataSource, data, f"{path}, [data]"),
        "priors": tuple(
            _make(PriorRun, {"name": name, **_table(priors, name, path)}, f"{path}, [priors.{name}]") for name in priors
        ),
        "rows": tuple(_make(Row, row, f"{path}, row {number + 1}") for number, row in enumerate(rows)),
    }
    return _make(Definition, {**table, **parts}, str(path))


def _table(parent: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    found = parent.get(key, {})
    if not isinstance(found, dict):
        raise InputError(f"{path}: {key} must be a table")
    return found


def _make(cls: Any, values: dict[str, Any], where: str) -> Any:
    """The dataclass from a table: every key known and of the right type, lists as tuples."""
    fields = {item.name: item for item in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: unknown key '{key}'; nearest: {nearest(key, fields)}")
    required = (name for name, item in fields.items() if item.default is item.default_factory is dataclasses.MISSING)
    missing = [name for name in required if name not in values]
    if missing:
        raise InputError(f"{where}: '{missing[0]}' is missing: add it")
    return cls(**{key: _typed(value, str(fields[key].type), f"{where}: {key}") for key, value in values.items()})


def _typed(value: Any, kind: str, where: str) -> Any:
    """A value of TOML as a dataclass wants it."""
    simple = {"str": str, "int": int, "bool": bool, "str | None": str}
    if kind.startswith("tuple[") and isinstance(value, list):
        inside = kind.removeprefix("tuple[").removesuffix(", ...]")
        return tuple(_typed(item, inside, where) for item in value)
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    wrong = kind in simple and (not isinstance(value, simple[kind]) or isinstance(value, bool) != (kind == "bool"))
    if wrong or kind == "float" or (kind.startswith("tuple[") and not isinstance(value, tuple)):
        raise InputError(f"{where} must be {kind.replace('tuple', 'a list').replace(', ...', '')}, not {value!r}")
    return value


def _check(definition: Definition, path: Path) -> None:
    """What no single table shows."""
    from baseh3d_ns.benchmark.published import PUBLISHED

    _check_values(definition, path)
    names = [row.name for row in definition.rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"{path}: two rows are called '{min(twice)}': their results could not be told apart")
    priors = {prior.name: prior for prior in definition.priors}
    for row in definition.rows:
        where = f"{path}, row '{row.name}'"
        _check_prior(row.prior, priors, where)
        if row.published and row.published not in PUBLISHED:
            near = nearest(row.published, PUBLISHED)
            raise InputError(f"{where}: nothing published as '{row.published}'; nearest: {near}")
        check_method(row.method, {**definition.options, **row.options}, where)
    for prior in definition.priors:
        check_method(prior.method, prior.options, f"{path}, [priors.{prior.name}]")
        _check_pretraining(prior, f"{path}, [priors.{prior.name}]")


def _check_values(definition: Definition, path: Path) -> None:
    if (definition.data.path is None) == (definition.data.synthetic is None):
        raise InputError(f"{path}, [data]: give either path or synthetic")
    if definition.data.synthetic is not None and definition.data.synthetic.subjects < 1:
        raise InputError(f"{path}, [data] synthetic: subjects must be at least 1")
    for name in ("scenes", "views", "seeds"):
        if not getattr(definition, name):
            raise InputError(f"{path}: {name} is empty: name at least one")
    if definition.epochs < 1 or not definition.spacing_mm > 0:
        raise InputError(f"{path}: epochs must be at least 1 and spacing_mm above 0")
    if not definition.data.downscale >= 1.0:
        raise InputError(f"{path}, [data]: downscale must be at least 1")
    if any(not 0.0 < fraction < 1.0 for fraction in definition.curve):
        raise InputError(f"{path}: curve lists fractions of a fit, between 0 and 1")


def _check_pretraining(prior: PriorRun, where: str) -> None:
    """A prior of one head has a scene and epochs; a shape space has neither."""
    from nerfstudio.configs.method_configs import all_methods

    from baseh3d_ns.shape_space.trainer import ShapeTrainerConfig
    from baseh3d_ns.training.trainer import PriorTrainerConfig

    config = all_methods[prior.method]
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


def _check_prior(name: str | None, priors: dict[str, PriorRun], where: str) -> None:
    from baseh3d_ns.heads.readers import BUILTIN

    if name is None or name == str(BUILTIN) or Path(name).exists():
        return
    base, _, epochs = name.partition("@")
    if base not in priors:
        raise InputError(f"{where}: no prior '{name}'; nearest: {nearest(base, [*priors, str(BUILTIN)])}")
    run = priors[base]
    kept = {*run.snapshots, run.epochs}
    if epochs and (not epochs.isdigit() or int(epochs) not in kept):
        raise InputError(f"{where}: prior '{base}' is kept after {sorted(kept)} epochs, not after {epochs}")


def check_method(name: str, options: Options, where: str) -> None:
    """Raise `InputError` unless nerfstudio knows the method, and the method the options."""
    from nerfstudio.configs.method_configs import all_methods

    if name not in all_methods:
        raise InputError(f"{where}: no method '{name}'; nearest: {nearest(name, all_methods)}")
    for path in options:
        owner: Any = all_methods[name]
        for part in path.replace("-", "_").split("."):
            known = owner if isinstance(owner, dict) else getattr(owner, "__dataclass_fields__", {})
            if part not in known:
                near = f"; nearest to '{part}': {nearest(part, known)}" if known else ""
                raise InputError(f"{where}: {name} has no option '{path}'{near}")
            owner = owner[part] if isinstance(owner, dict) else getattr(owner, part)
