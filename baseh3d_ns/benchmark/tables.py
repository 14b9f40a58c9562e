"""All tables of a benchmark, in their order."""

from __future__ import annotations

import pandas as pd

from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.detail_tables import published_table, race_table, scan_table, unfinished_table
from baseh3d_ns.benchmark.error_tables import change_table, difference_table, error_table, views_table
from baseh3d_ns.benchmark.markdown import Table, to_markdown
from baseh3d_ns.benchmark.unequal_settings import settings_table


def main_tables(
    definition: Definition, frame: pd.DataFrame, curves: pd.DataFrame, settings: Table | None = None
) -> list[Table]:
    """Tables over all scenes: of each view configuration, of all of them side by side where there are several, and of
    the settings that differ.

    Args:
        definition: the benchmark.
        frame: its results (`results.to_frame`).
        curves: scores on the way (`results.curves_frame`).
        settings: the settings that differ; None: as the definition and today's defaults have them.
    """
    tables = [views_table(definition, frame)] if len(definition.all_views) > 1 else []
    for views in definition.all_views:
        tables.append(error_table(definition, frame, views))
        if definition.data.changes:
            tables.append(change_table(definition, frame, views))
        if len(definition.rows_with(views)) > 1:
            tables.append(difference_table(definition, frame, views))
            tables.append(race_table(definition, curves, views))
        tables.append(published_table(definition, frame, views))
    tables.append(settings or settings_table(definition))
    return [table for table in tables if table.rows]


def markdown_tables(definition: Definition, frame: pd.DataFrame, curves: pd.DataFrame) -> str:
    """All tables of a benchmark as Markdown; needs no files beside its arguments."""
    tables = main_tables(definition, frame, curves)
    tables += [scan_table(definition, frame, views) for views in definition.all_views]
    tables.append(unfinished_table(definition, frame))
    return "\n\n".join(to_markdown(table) for table in tables if table.rows) + "\n"


def summary_markdown(definition: Definition, frame: pd.DataFrame, curves: pd.DataFrame, settings: Table) -> str:
    """The tables over all scenes as Markdown, the last that of the settings that differed."""
    return "\n\n".join(to_markdown(table) for table in main_tables(definition, frame, curves, settings)) + "\n"
