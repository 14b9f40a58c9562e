"""The tables of a benchmark, for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baseh3d_ns.benchmark.beside_published import planned_scenes, reasons, scene_ids, score_of_scan
from baseh3d_ns.benchmark.definition import Definition, Row
from baseh3d_ns.benchmark.published import PUBLISHED, Score
from baseh3d_ns.benchmark.results import FLOOR, Result
from baseh3d_ns.benchmark.statistics import Difference, Summary, by_scene, paired_difference, summary
from baseh3d_ns.benchmark.unequal_settings import differences

METRICS = {
    "face_mm": "face mm",
    "head_mm": "head mm",
    "face_rigid_mm": "face rigid mm",
    "head_rigid_mm": "head rigid mm",
}
EMPTY = "-"
SPREAD = "Mean ± std over scenes, the std of the population (ddof 0) as in the BaseH3D-Net paper; seeds averaged first"
PAIRED = "over the scenes both have; in brackets the 95 % bootstrap interval of the mean, below zero is better"


@dataclass(frozen=True)
class Table:
    """A table in words."""

    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """A line below it."""


def markdown_tables(definition: Definition, results: Sequence[Result]) -> str:
    """All tables of a benchmark as Markdown; needs no files beside its arguments."""
    tables = main_tables(definition, results)
    tables += [scan_table(definition, results, views) for views in definition.views]
    unfinished = unfinished_table(definition, results)
    tables += [unfinished] if unfinished.rows else []
    return "\n\n".join(to_markdown(table) for table in tables) + "\n"


def summary_markdown(definition: Definition, results: Sequence[Result]) -> str:
    """The tables over all scenes as Markdown."""
    return "\n\n".join(to_markdown(table) for table in main_tables(definition, results)) + "\n"


def main_tables(definition: Definition, results: Sequence[Result]) -> list[Table]:
    """Those over all scenes: of each view configuration, and of all of them side by side where there are several."""
    tables = [views_table(definition, results)] if len(definition.views) > 1 else []
    for views in definition.views:
        tables.append(error_table(definition, results, views))
        if len(definition.rows) > 1:
            tables.append(difference_table(definition, results, views))
        beside = published_table(definition, results, views)
        tables += [beside] if beside.rows else []
    return tables


def to_markdown(table: Table) -> str:
    """Title, caption, pipe table, note."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
             for row in (table.header, *table.rows)]  # fmt: skip
    lines.insert(1, "| " + " | ".join("---" for _ in table.header) + " |")
    parts = [f"**{table.title}.** {table.caption}", "\n".join(lines), table.note]
    return "\n\n".join(part for part in parts if part)


def error_table(definition: Definition, results: Sequence[Result], views: str) -> Table:
    """Mean and std of every row, what it cost, and over how many scenes."""
    planned = len(planned_scenes(definition, results))
    rows = []
    for row in definition.rows:
        values = [by_scene(results, row.name, views, metric) for metric in (*METRICS, "train_s", "peak_memory_gb")]
        summaries = [summary(one) for one in values]
        epochs = sorted({result.epochs for result in _done(results, row, views)})
        errors = [_spread(one) for one in summaries[: len(METRICS)]]
        cost = [f"{one.mean:.{digits}f}" if one else EMPTY for one, digits in zip(summaries[-2:], (0, 1), strict=True)]
        scenes = f"{len(values[0])} of {planned}"
        rows.append((row.name, scenes, *errors, ", ".join(map(str, epochs)) or EMPTY, *cost))
    return Table(
        title=f"Errors, {views_in_words(views)}",
        caption=f"{SPREAD}. Lower is better; rigid: without the scale of the h3ds package, both ways.",
        header=("method", "scenes", *METRICS.values(), "epochs", "seconds", "peak GB"),
        rows=tuple(rows),
        note=" ".join([floor_note(results), *differences(definition)]),
    )


def difference_table(definition: Definition, results: Sequence[Result], views: str) -> Table:
    """Every row minus the first, paired over scenes."""
    first, *others = definition.rows
    rows = []
    for row in others:
        differences = [
            paired_difference(by_scene(results, row.name, views, metric), by_scene(results, first.name, views, metric))
            for metric in METRICS
        ]
        pairs = differences[0].pairs if differences[0] else 0
        rows.append((row.name, str(pairs), *(_interval(one) for one in differences)))
    return Table(
        title=f"Difference to {first.name}, {views_in_words(views)}",
        caption=f"Mean difference {PAIRED}. One pair has no interval.",
        header=("method", "pairs", *METRICS.values()),
        rows=tuple(rows),
        note=floor_note(results),
    )


def published_table(definition: Definition, results: Sequence[Result], views: str) -> Table:
    """Ours beside what was published, for every row that names it."""
    planned = len(planned_scenes(definition, results))
    rows = []
    for row in definition.rows:
        published = PUBLISHED.get(row.published)
        score = published.by_views.get(views) if published else None
        if not published or not score:
            continue
        done = _done(results, row, views)
        ours = [summary(by_scene(results, row.name, views, metric)) for metric in ("face_mm", "head_mm")]
        means = (score.face_mm, score.head_mm)
        difference = " / ".join(
            f"{one.mean - mean:+.2f}" if one else EMPTY for one, mean in zip(ours, means, strict=True)
        )
        why = reasons(published, definition, done, planned) if done else "ours not finished"
        theirs = f"{row.published}: {_published(score)}"
        both = " / ".join(_spread(one) for one in ours)
        rows.append(
            (row.name, str(ours[0].scenes if ours[0] else 0), both, theirs, difference, why, published.scored_with)
        )
    return Table(
        title=f"Beside published numbers, {views_in_words(views)}",
        caption=f"Face / head by the h3ds package in mm. {SPREAD}.",
        header=("method", "scenes", "ours", "published", "ours - published", "reason", "published with"),
        rows=tuple(rows),
        note=floor_note(results),
    )


def views_table(definition: Definition, results: Sequence[Result]) -> Table:
    """Face / head of every row against the number of views, the published numbers below ours."""
    rows = []
    for row in definition.rows:
        cells = [row.name]
        for views in definition.views:
            face, head = (summary(by_scene(results, row.name, views, metric)) for metric in ("face_mm", "head_mm"))
            cells.append(f"{_spread(face)} / {_spread(head)} ({face.scenes if face else 0})")
        rows.append(tuple(cells))
        published = PUBLISHED.get(row.published)
        if published and any(views in published.by_views for views in definition.views):
            scores = [published.by_views.get(views) for views in definition.views]
            rows.append((f"{row.published}, published", *(_published(score) if score else EMPTY for score in scores)))
    return Table(
        title="Errors against views",
        caption=f"Face / head by the h3ds package in mm. {SPREAD}; in brackets the number of scenes.",
        header=("method", *(views_in_words(views) for views in definition.views)),
        rows=tuple(rows),
        note=floor_note(results),
    )


def scan_table(definition: Definition, results: Sequence[Result], views: str) -> Table:
    """Face / head of every scene, beside what was published for that scan, and the floor there."""
    ids = scene_ids(results)
    scenes = planned_scenes(definition, results)
    columns: dict[str, dict[str, str]] = {}
    for row in definition.rows:
        columns[row.name] = _per_scene(results, row.name, views)
        scores = {scene: score_of_scan(row, views, ids.get(scene, "")) for scene in scenes}
        if any(scores.values()):
            heading = f"{row.published}, published"
            columns[heading] = {scene: _published(score) for scene, score in scores.items() if score}
    columns[FLOOR] = _per_scene(results, FLOOR, "")
    return Table(
        title=f"Every scan, {views_in_words(views)}",
        caption="Face / head by the h3ds package in mm; seeds averaged.",
        header=("scan", *columns),
        rows=tuple((scene, *(column.get(scene, EMPTY) for column in columns.values())) for scene in scenes),
        note=floor_note(results),
    )


def unfinished_table(definition: Definition, results: Sequence[Result]) -> Table:
    """What failed, was skipped, or is not there yet."""
    rows = [
        (one.row, one.scene, one.views, str(one.seed), one.status, one.reason or "no reason given")
        for one in results
        if not one.done
    ]
    there = {(one.row, one.scene, one.views, one.seed) for one in results}
    scenes = planned_scenes(definition, results)
    fits = [
        (row.name, views, seed) for row in definition.rows for views in definition.views for seed in definition.seeds
    ]
    floors = {one.scene for one in results if one.row == FLOOR}
    missing = {fit: [scene for scene in scenes if (fit[0], scene, *fit[1:]) not in there] for fit in fits}
    missing[FLOOR, "", 0] = [scene for scene in scenes if scene not in floors]
    for (name, views, seed), lacking in missing.items():
        if lacking:
            rows.append((name, ", ".join(lacking), views, str(seed), "missing", "no result yet"))
    return Table(
        title="Not finished",
        caption="Means leave these out, pairs too.",
        header=("method", "scenes", "views", "seed", "status", "reason"),
        rows=tuple(rows),
    )


def floor_note(results: Sequence[Result]) -> str:
    """What the scans themselves score, meshed by our mesher: nothing can score below."""
    # Two-way errors are left out: beyond the rim of an open scan its mesh goes on, so they are no lower bound.
    values = {METRICS[metric]: summary(by_scene(results, FLOOR, "", metric)) for metric in ("face_mm", "head_mm")}
    known = [f"{name.removesuffix(' mm')} {one.mean:.2f}" for name, one in values.items() if one]
    if not known:
        return f"{FLOOR.capitalize()}: not measured."
    scenes = counted(max(one.scenes for one in values.values() if one), "scene")
    return f"{FLOOR.capitalize()}: {', '.join(known)} mm, mean of {scenes}."


def views_in_words(views: str) -> str:
    """`3 views`, `1 view`, `all views`, `views 0,4,9`."""
    if views.isdigit():
        return counted(int(views), "view")
    return "all views" if views == "all" else f"views {views}"


def counted(number: int, noun: str) -> str:
    """`1 view`, `3 views`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _done(results: Sequence[Result], row: Row, views: str) -> list[Result]:
    return [one for one in results if one.done and (one.row, one.views) == (row.name, views)]


def _per_scene(results: Sequence[Result], row: str, views: str) -> dict[str, str]:
    face, head = (by_scene(results, row, views, metric) for metric in ("face_mm", "head_mm"))
    return {scene: f"{_number(face, scene)} / {_number(head, scene)}" for scene in {**face, **head}}


def _number(values: Mapping[str, float], scene: str) -> str:
    return f"{values[scene]:.2f}" if scene in values else EMPTY


def _spread(one: Summary | None) -> str:
    """A single scene has no spread."""
    if one is None:
        return EMPTY
    return f"{one.mean:.2f} ± {one.std:.2f}" if one.scenes > 1 else f"{one.mean:.2f}"


def _interval(one: Difference | None) -> str:
    if one is None:
        return EMPTY
    return f"{one.mean:+.2f}" + (f" [{one.interval[0]:+.2f}, {one.interval[1]:+.2f}]" if one.interval else "")


def _published(score: Score) -> str:
    pairs = ((score.face_mm, score.face_std_mm), (score.head_mm, score.head_std_mm))
    return " / ".join(f"{mean:.2f}" + (f" ± {std:.2f}" if std is not None else "") for mean, std in pairs)
