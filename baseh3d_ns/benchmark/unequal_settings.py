"""Settings that the rows of a table do not share, though a comparison would want it: a table of their own."""

from __future__ import annotations

from typing import Any

from baseh3d_ns.benchmark.commands import option
from baseh3d_ns.benchmark.definition import Definition, Row, SnapshotRef
from baseh3d_ns.benchmark.markdown import EMPTY, Table

SHARED = {
    "rays a step": "pipeline.datamanager.train_num_rays_per_batch",
    "layers of the SDF": "pipeline.model.sdf_field.sdf.layers",
    "width of the SDF": "pipeline.model.sdf_field.sdf.width",
    "cells of the SDF's detail grid, at most": "pipeline.model.sdf_field.detail.cells",
    "cells of the colours' detail grid, at most": "pipeline.model.sdf_field.colour_detail.cells",
}
"""Option of a method, by its heading in the table."""
STAGES = {
    "steps of the colours alone, before": "warm_start.colours.steps",
    "steps of a shape space's latent, before": "warm_start.latent.steps",
    "steps of the colours alone, after, with up to three views": "finish_colours.steps",
}
"""Likewise; a method without the option takes none of these steps."""
LATENT_STEPS = "warm_start.latent.steps"


def settings_table(definition: Definition) -> Table:
    """The settings that differ between rows, a column each, without lines where none does; photos and mesh density are
    the same for all."""
    rows = definition.rows
    values: dict[str, list[Any]] = {"epochs": [_length(definition, row) for row in rows]}
    for name, path in SHARED.items():
        values[name] = [option(row.method, definition.options_of(row), path) for row in rows]
    for name, path in STAGES.items():
        values[name] = [_steps(definition, row, path) for row in rows]
    texts = {name: [_in_words(value) for value in of_rows] for name, of_rows in values.items()}
    differ = {name: of_rows for name, of_rows in texts.items() if len(set(of_rows) - {EMPTY}) > 1}
    lines = [(row.name, *(of_rows[at] for of_rows in differ.values())) for at, row in enumerate(rows)]
    return Table(
        title="Settings that are not the same for all methods",
        caption="",
        header=("method", *differ),
        rows=tuple(lines) if differ else (),
    )


def _length(definition: Definition, row: Row) -> int | str:
    """Epochs of a row's fits, or its method's own count of its steps."""
    options = definition.options_of(row)
    epochs = definition.epochs_of(row) or option(row.method, options, "epochs")
    if epochs:
        most = options.get("max-num-iterations")
        return f"{epochs}, at most {most} steps" if most else epochs
    one_view = option(row.method, options, "steps_of_one_view")
    if one_view:
        return f"{one_view} steps x root of views"
    return f"{option(row.method, options, 'max_num_iterations')} steps"


def _steps(definition: Definition, row: Row, path: str) -> int:
    """Steps of a stage that a row's fits take besides their training."""
    start = definition.start_of(row)
    if path == LATENT_STEPS and isinstance(start, SnapshotRef) and definition.priors[start.name].scene:
        return 0  # a prior of one head has no latent
    return option(row.method, definition.options_of(row), path) or 0


def _in_words(value: Any) -> str:
    if value is None:
        return EMPTY
    return "/".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
