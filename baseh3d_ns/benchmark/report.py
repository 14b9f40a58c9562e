"""A benchmark's report: one page that needs no network, and its tables as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from baseh3d_ns.benchmark.beside_published import planned_scenes
from baseh3d_ns.benchmark.charts import convergence, error_against_time, scan_bars
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.heads import page_heads
from baseh3d_ns.benchmark.results import Result
from baseh3d_ns.benchmark.tables import (
    counted,
    main_tables,
    markdown_tables,
    scan_table,
    unfinished_table,
    views_in_words,
)
from baseh3d_ns.files import write_atomically

PAGE, TABLES, TEMPLATE = "report.html", "tables.md", "report.html.j2"
PROVENANCE = ("git_commit", "dataset_version", "config", "config_version", "trained_on", "evaluated_on")
"""Of `Result.provenance`; paths of the machine are left out."""


def write_report(run: Path, definition: Definition, results: Sequence[tuple[Path, Result]]) -> Path:
    """Write `report.html` and `tables.md` into a benchmark's folder.

    Args:
        run: the folder.
        definition: what was to be measured.
        results: what was, each with the folder of its cell.

    Returns:
        The page.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_atomically(run / TABLES, markdown_tables(definition, [result for _, result in results]))
    write_atomically(run / PAGE, page(run, definition, results))
    return run / PAGE


def page(run: Path, definition: Definition, results: Sequence[tuple[Path, Result]]) -> str:
    """The page as HTML."""
    measured = [result for _, result in results]
    file = run / "definition.toml"
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.globals["zip"] = zip
    heads = page_heads(definition, results)
    return environment.get_template(TEMPLATE).render(
        definition=definition,
        names=[row.name for row in definition.rows],
        scenes=planned_scenes(definition, measured),
        views={views: views_in_words(views) for views in definition.views},
        summary=one_sentence(definition, measured),
        main_tables=main_tables(definition, measured),
        scan_tables=[scan_table(definition, measured, views) for views in definition.views],
        unfinished=unfinished_table(definition, measured),
        charts=charts(definition, measured),
        heads=heads,
        index=[(head["scene"], head["row"], head["views"]) for head in heads],
        provenance=provenance(measured),
        definition_text=file.read_text(encoding="utf-8") if file.is_file() else "",
        plotly=Markup(get_plotlyjs()),
    )


def one_sentence(definition: Definition, results: Sequence[Result]) -> str:
    """What was measured, and when."""
    names = {row.name for row in definition.rows}
    done = sum(result.done for result in results if result.row in names)
    scenes = len(planned_scenes(definition, results))
    planned = len(definition.rows) * scenes * len(definition.views) * len(definition.seeds)
    dates = sorted(str(result.provenance["date"])[:10] for result in results if result.provenance.get("date"))
    when = f", measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    views = ", ".join(map(views_in_words, definition.views))
    return (
        f"{counted(len(definition.rows), 'method')} on {counted(scenes, 'scene')} with {views}: "
        f"{done} of {planned} fits done{when}; page written {now}."
    )


def charts(definition: Definition, results: Sequence[Result]) -> dict[str, list[dict[str, Any]]]:
    """Charts of every section: a title and what plotly draws."""
    views = {one: views_in_words(one) if len(definition.views) > 1 else "" for one in definition.views}
    curves = [(title, convergence(definition, results, one)) for one, title in views.items()]
    return {
        "scans": [_chart(title, scan_bars(definition, results, one)) for one, title in views.items()],
        "time": [_chart("", error_against_time(definition, results))],
        "convergence": [_chart(title, figure) for title, figure in curves if figure is not None],
    }


def _chart(title: str, figure: go.Figure) -> dict[str, Any]:
    return {"title": title, "figure": json.loads(figure.to_json())}


def provenance(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Devices, versions and commits of the results: a name, and every value there is."""
    found: dict[str, list[str]] = {"device": [result.device for result in results]}
    for name in PROVENANCE:
        found[name.replace("_", " ")] = [str(result.provenance.get(name) or "") for result in results]
    packages = [result.provenance.get("packages", {}) for result in results]
    for name in dict.fromkeys(name for one in packages for name in one):
        found[name] = [one.get(name) or "" for one in packages]
    lines = {name: ", ".join(dict.fromkeys(value for value in values if value)) for name, values in found.items()}
    return [(name, line) for name, line in lines.items() if line]
