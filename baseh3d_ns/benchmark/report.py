"""A benchmark's report: one page that needs no network, and its tables as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from baseh3d_ns.benchmark.charts import convergence, error_against_time, scan_bars
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.detail_tables import scan_table, unfinished_table
from baseh3d_ns.benchmark.heads import links, page_heads
from baseh3d_ns.benchmark.markdown import counted, views_in_words
from baseh3d_ns.benchmark.metrics import of_first_change, planned_scenes
from baseh3d_ns.benchmark.results import Result, curves_frame, to_frame
from baseh3d_ns.benchmark.tables import main_tables, markdown_tables
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.extras import require_extra
from baseh3d_ns.files import write_text

if TYPE_CHECKING:
    from plotly import graph_objects as go

PAGE, TABLES, TEMPLATE = "report.html", "tables.md", "report.html.j2"
PROVENANCE = ("git_commit", "dataset_version", "config", "config_version", "trained_on", "evaluated_on")
"""Entries of `Result.provenance` that the page shows; paths of the machine are left out."""


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
    measured = [result for _, result in results]
    text = markdown_tables(definition, to_frame(measured), curves_frame(measured))
    write_text(run / TABLES, text)
    write_text(run / PAGE, page(run, definition, results))
    return run / PAGE


def page(run: Path, definition: Definition, results: Sequence[tuple[Path, Result]]) -> str:
    """The page as HTML."""
    require_extra("bench")
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    measured = [result for _, result in results]
    frame, curves = to_frame(measured), curves_frame(measured)
    file = run / "definition.toml"
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.globals["zip"] = zip
    heads = page_heads(run, results)
    return environment.get_template(TEMPLATE).render(
        definition=definition,
        names=[row.name for row in definition.rows],
        scenes=planned_scenes(definition, frame),
        views={views: views_in_words(views) for views in definition.all_views},
        summary=one_sentence(definition, measured),
        main_tables=main_tables(definition, frame, curves),
        scan_tables=[scan_table(definition, frame, views) for views in definition.all_views],
        unfinished=unfinished_table(definition, frame),
        charts=charts(definition, frame, curves),
        heads=heads,
        fits=[(result, links(run, folder)) for folder, result in results if result.kind == "fit"],
        index=[(head["scene"], head["row"], head["views"]) for head in heads],
        provenance=provenance(measured),
        definition_text=read_text(file) if file.is_file() else "",
        plotly=Markup(get_plotlyjs()),
    )


def one_sentence(definition: Definition, results: Sequence[Result]) -> str:
    """Size of the benchmark, how much of it is done, and when it was measured."""
    done = sum(result.done for result in results if result.kind == "fit")
    # Changed copies are fits of their own, but no scenes.
    scenes = len(planned_scenes(*of_first_change(definition, to_frame(results))))
    copies = scenes * max(1, len(definition.data.changes))
    fits = sum(len(definition.views_of(row)) for row in definition.rows) * copies * len(definition.seeds)
    dates = sorted(str(result.provenance["date"])[:10] for result in results if result.provenance.get("date"))
    when = f", measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    views = ", ".join(map(views_in_words, definition.all_views))
    return (
        f"{counted(len(definition.rows), 'method')} on {counted(scenes, 'scene')} with {views}: "
        f"{done} of {fits} fits done{when}; page written {now}."
    )


def charts(definition: Definition, frame: pd.DataFrame, curves: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Charts of every section: titles and figures of plotly; only the scans' bars show changed heads, too."""
    views = {one: views_in_words(one) if len(definition.all_views) > 1 else "" for one in definition.all_views}
    scans = [_chart(title, scan_bars(definition, frame, one)) for one, title in views.items()]
    _, curves = of_first_change(definition, curves)
    definition, frame = of_first_change(definition, frame)
    lines = [(title, convergence(definition, curves, one)) for one, title in views.items()]
    return {
        "scans": scans,
        "time": [_chart("", error_against_time(definition, frame))],
        "convergence": [_chart(title, figure) for title, figure in lines if figure is not None],
    }


def _chart(title: str, figure: go.Figure) -> dict[str, Any]:
    return {"title": title, "figure": json.loads(figure.to_json())}


def provenance(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Devices, versions and commits of the results: a name, and every value there is."""
    found: dict[str, list[str]] = {"device": [result.device for result in results]}
    for name in PROVENANCE:
        found[name.replace("_", " ")] = [str(result.provenance.get(name) or "") for result in results]
    packages = [result.provenance.get("packages") for result in results]
    versions = [one if isinstance(one, dict) else {} for one in packages]
    for name in dict.fromkeys(name for one in versions for name in one):
        found[name] = [str(one.get(name) or "") for one in versions]
    lines = {name: ", ".join(dict.fromkeys(value for value in values if value)) for name, values in found.items()}
    return [(name, line) for name, line in lines.items() if line]
