"""Checks before the first training of a benchmark: `ns-train` takes all options, fits take their priors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baseh3d_ns.benchmark import external_methods
from baseh3d_ns.benchmark.commands import Options, arguments, method_config, parse
from baseh3d_ns.benchmark.definition import Definition, Row, SnapshotRef
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.heads.transfer import check_sizes, check_transfers

NOWHERE = Path("nowhere")
"""Stands for the folders of a cell, which are not there yet."""


def check_trainings(definition: Definition, path: Path) -> None:
    """Raise `InputError` for a row or a prior that could not start, though all its names are known.

    Args:
        definition: as `read_definition` checked it.
        path: its file, for messages.
    """
    priors = {
        name: _parsed(prior.method, prior.options, bool(prior.scene), f"{path}, [priors.{name}]")
        for name, prior in definition.priors.items()
    }
    for row in definition.rows:
        method = method_config(row.method)
        if external_methods.is_external(method) and not _runs_here(method):
            continue  # its cells are skipped, and say why
        where = f"{path}, row '{row.name}'"
        config = _parsed(row.method, definition.options_of(row), True, where)
        if hasattr(config, "load_prior"):
            _check_prior(definition, row, config, priors, where)


def _parsed(method: str, options: Options, of_one_scene: bool, where: str) -> Any:
    """The config that `ns-train` would build."""
    parser: Options = {"scene": "scan0", "views": "all"} if of_one_scene else {}
    try:
        return parse(arguments(method, NOWHERE, 0, options, parser))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _runs_here(method: Any) -> bool:
    try:
        external_methods.check_runs_here(method)
    except external_methods.Skipped:
        return False
    return True


def _check_prior(definition: Definition, row: Row, config: Any, priors: dict[str, Any], where: str) -> None:
    """Raise `InputError` unless the networks of a row's fits take its prior."""
    wanted, start = config.pipeline.model.sdf_field, definition.start_of(row) or config.load_prior
    try:
        if isinstance(start, SnapshotRef):
            check_sizes(priors[start.name].pipeline.model.sdf_field, wanted, f"prior '{start.name}'")
        else:
            check_transfers(open_head(start), wanted, start)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
