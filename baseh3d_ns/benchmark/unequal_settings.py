"""What rows of one table do not share, though a comparison would want it: said under the table."""

from __future__ import annotations

from typing import Any

from baseh3d_ns.benchmark.commands import method_config
from baseh3d_ns.benchmark.definition import Definition, Options

SHARED = {
    "rays a step": "pipeline.datamanager.train_num_rays_per_batch",
    "layers of the SDF": "pipeline.model.sdf_field.sdf.layers",
    "width of the SDF": "pipeline.model.sdf_field.sdf.width",
    "steps of the colours alone, before": "colours_first",
}
LATENT = "steps of a shape space's latent, before"


def differences(definition: Definition) -> list[str]:
    """One sentence for each thing that rows have differently; views, photos and mesh density are the same for all."""
    epochs = {row.name: row.epochs or definition.epochs for row in definition.rows}
    values = {"epochs": epochs} | {
        name: {row.name: option(row.method, {**definition.options, **row.options}, path) for row in definition.rows}
        for name, path in SHARED.items()
    }
    one_head = {prior.name for prior in definition.priors if prior.scene}
    values[LATENT] = {
        row.name: 0
        if row.prior and row.prior.split("@")[0] in one_head
        else option(row.method, {**definition.options, **row.options}, "latent_first")
        for row in definition.rows
    }
    sentences = []
    for name, of_rows in values.items():
        known = {row: value for row, value in of_rows.items() if value is not None}
        if len(set(known.values())) > 1:
            said = ", ".join(f"{row} {value}" for row, value in known.items())
            sentences.append(f"Not the same for all rows: {name} ({said}).")
    return sentences


def option(method: str, options: Options, path: str) -> Any:
    """What an option is, given or by default; None where the method has no such option."""
    given = {name.replace("-", "_"): value for name, value in options.items()}
    if path in given:
        return given[path]
    owner: Any = method_config(method)
    for part in path.split("."):
        owner = getattr(owner, part, None)
    return owner
