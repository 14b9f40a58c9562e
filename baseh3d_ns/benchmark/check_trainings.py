"""Checks before the first training of a benchmark: `ns-train` takes all options, fits take their priors.

A report needs none of them: what is finished is shown, whatever could not start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baseh3d_ns.benchmark import external_methods
from baseh3d_ns.benchmark.commands import Options, arguments, method_config, parse
from baseh3d_ns.benchmark.definition import Definition, Row, SnapshotRef
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.heads.transfer import check_sizes, check_transfers
from baseh3d_ns.shape_space.trainer import ShapeTrainerConfig
from baseh3d_ns.training.head_trainer import HeadTrainerConfig

NOWHERE = Path("nowhere")
"""Stands for the folders of a cell, which are not there yet."""


def check_trainings(definition: Definition, path: Path) -> None:
    """Raise `InputError` for a row or a prior that could not start, as far as their options and sizes tell.

    What takes photos, or the prior that a row trains first, is checked by the training itself.

    Args:
        definition: as `read_definition` checked it.
        path: its file, for messages.
    """
    priors = {
        name: _parsed(prior.method, prior.options, bool(prior.scene), f"{path}, [priors.{name}]")
        for name, prior in definition.priors.items()
    }
    for row in definition.rows:
        where, method = f"{path}, row '{row.name}'", method_config(row.method)
        if definition.start_of(row) is not None and not hasattr(method, "load_prior"):
            raise InputError(f"{where}: {row.method} starts from nothing: leave out prior")
        if external_methods.is_external(method) and not _runs_here(method):
            continue  # its cells are skipped, and say why
        config = _parsed(row.method, definition.options_of(row), True, where)
        if hasattr(config, "load_prior"):
            _check_start(definition, row, config, priors, where)


def _parsed(method: str, options: Options, of_one_scene: bool, where: str) -> Any:
    """The config that `ns-train` would build."""
    parser: Options = {"scene": "scan0", "views": "all"} if of_one_scene else {}
    try:
        config = parse(arguments(method, NOWHERE, 0, options, parser))
        if isinstance(config, HeadTrainerConfig | ShapeTrainerConfig):
            config.pipeline.model.check()  # before networks of these sizes are built
        return config
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _runs_here(method: Any) -> bool:
    try:
        external_methods.check_runs_here(method)
    except external_methods.Skipped:
        return False
    return True


def _check_start(definition: Definition, row: Row, config: Any, priors: dict[str, Any], where: str) -> None:
    """Raise `InputError` unless a row's fits have a prior that their options and networks take."""
    wanted, start = config.pipeline.model.sdf_field, definition.start_of(row) or config.load_prior
    try:
        if config.resume_from() is not None:
            return  # its fits go on from a checkpoint, and read no prior
        if start is None:
            raise InputError(f"{row.method} starts from a prior: say prior = ..., `builtin`, a file or one of [priors]")
        config.check_options()
        if isinstance(start, SnapshotRef):
            _check_own_heads(definition, start.name)
            check_sizes(priors[start.name].pipeline.model.sdf_field, wanted, f"prior '{start.name}'")
        else:
            check_transfers(open_head(start), wanted, start)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _check_own_heads(definition: Definition, name: str) -> None:
    """Raise `InputError` where the folder of heads that a prior is learned from is not there."""
    heads = definition.priors[name].own_heads
    if definition.data.path is None and heads and not heads.is_dir():
        raise InputError(f"no folder {heads}, which the prior '{name}' is learned from: put it there")
