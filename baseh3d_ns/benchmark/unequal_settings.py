"""Settings that the rows of a table do not share, though a comparison would want it: named under the table."""

from __future__ import annotations

from baseh3d_ns.benchmark.commands import option
from baseh3d_ns.benchmark.definition import Definition, SnapshotRef

SHARED = {
    "rays a step": "pipeline.datamanager.train_num_rays_per_batch",
    "layers of the SDF": "pipeline.model.sdf_field.sdf.layers",
    "width of the SDF": "pipeline.model.sdf_field.sdf.width",
    "steps of the colours alone, before": "warm_start.colours.steps",
}
"""Option of a method, by its name in the sentence."""
LATENT, LATENT_STEPS = "steps of a shape space's latent, before", "warm_start.latent.steps"


def unequal_settings(definition: Definition) -> list[str]:
    """One sentence for each setting that differs between rows; photos and mesh density are the same for all."""
    rows = definition.rows
    values = {"epochs": {row.name: definition.epochs_of(row) for row in rows}}
    for name, path in SHARED.items():
        values[name] = {row.name: option(row.method, definition.options_of(row), path) for row in rows}
    values[LATENT] = {}
    for row in rows:
        start = definition.start_of(row)
        one_head = isinstance(start, SnapshotRef) and definition.priors[start.name].scene
        values[LATENT][row.name] = 0 if one_head else option(row.method, definition.options_of(row), LATENT_STEPS)
    sentences = []
    for name, of_rows in values.items():
        known = {row: value for row, value in of_rows.items() if value is not None}
        if len(set(known.values())) > 1:
            said = ", ".join(f"{row} {value}" for row, value in known.items())
            sentences.append(f"Not the same for all rows: {name} ({said}).")
    return sentences
