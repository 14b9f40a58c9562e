"""Tables of errors over scenes: means, differences between rows, against views, against changes of the scenes."""

from __future__ import annotations

import pandas as pd

from baseh3d_ns.benchmark.definition import Definition, Row
from baseh3d_ns.benchmark.markdown import EMPTY, Table, interval, number, pair, published_score, spread, views_in_words
from baseh3d_ns.benchmark.metrics import METRICS, OFFICIAL, RIGID, SPREAD, floor_note, on_first_change, planned_scenes
from baseh3d_ns.benchmark.published import PUBLISHED
from baseh3d_ns.benchmark.statistics import by_scene, fits, paired_difference, summary

PAIRED = "over the scenes both have; in brackets the 95 % bootstrap interval of the mean, below zero is better"
WORST = ("worst face / head mm", "worst rigid mm")
"""Headings of the largest errors among single fits, one scene and seed each."""


@on_first_change
def brief_table(definition: Definition, frame: pd.DataFrame) -> Table:
    """One line a row and view configuration: mean errors, seconds of training."""
    rows = []
    for views in definition.all_views:
        for row in definition.rows_with(views):
            done = fits(frame, row.name, views)
            errors = [number(by_scene(done, metric).mean()) for metric in METRICS]
            seconds = number(by_scene(done, "train_s").mean(), 0)
            rows.append((row.name, views_in_words(views), *errors, seconds))
    return Table(
        title="",
        caption=f"{definition.title}.",
        header=("method", "views", *METRICS.values(), "seconds"),
        rows=tuple(rows),
    )


@on_first_change
def error_table(definition: Definition, frame: pd.DataFrame, views: str) -> Table:
    """Mean and std of every row, its worst fit where there are several, what it cost, and over how many scenes."""
    planned = len(planned_scenes(definition, frame))
    of_rows = {row.name: fits(frame, row.name, views) for row in definition.rows_with(views)}
    several = any(len(done) > 1 for done in of_rows.values())
    rows = []
    for name, done in of_rows.items():
        errors = [spread(summary(by_scene(done, metric))) for metric in METRICS]
        epochs = ", ".join(map(str, sorted(done["epochs"].unique()))) or EMPTY
        seconds, memory = (by_scene(done, name).mean() for name in ("train_s", "peak_memory_gb"))
        scenes = f"{len(by_scene(done, OFFICIAL[0]))} of {planned}"
        worst = [pair(*done[list(metrics)].max()) for metrics in (OFFICIAL, RIGID)] if several else []
        rows.append((name, scenes, *errors, *worst, epochs, number(seconds, 0), number(memory, 1)))
    return Table(
        title=f"Errors, {views_in_words(views)}",
        caption=f"{SPREAD}. Lower is better; rigid: without the scale of the h3ds package, both ways.",
        header=("method", "scenes", *METRICS.values(), *(WORST if several else ()), "epochs", "seconds", "peak GB"),
        rows=tuple(rows),
        note=floor_note(definition, frame),
    )


@on_first_change
def difference_table(definition: Definition, frame: pd.DataFrame, views: str) -> Table:
    """Every row minus the first, paired over scenes."""
    first, *others = definition.rows_with(views)
    rows = []
    for row in others:
        differences = [
            paired_difference(by_scene(fits(frame, row.name, views), metric), reference)
            for metric in METRICS
            for reference in [by_scene(fits(frame, first.name, views), metric)]
        ]
        pairs = differences[0].pairs if differences[0] else 0
        rows.append((row.name, str(pairs), *(interval(one) for one in differences)))
    return Table(
        title=f"Difference to {first.name}, {views_in_words(views)}",
        caption=f"Mean difference {PAIRED}. One pair has no interval.",
        header=("method", "pairs", *METRICS.values()),
        rows=tuple(rows),
        note=floor_note(definition, frame),
    )


@on_first_change
def views_table(definition: Definition, frame: pd.DataFrame) -> Table:
    """Face / head of every row against the number of views, the published numbers below ours."""
    rows = []
    for row in definition.rows:
        rows.append((row.name, *(_both(frame, row, views) for views in definition.all_views)))
        published = PUBLISHED.get(row.published)
        if published and any(views in published.by_views for views in definition.all_views):
            scores = [published.by_views.get(views) for views in definition.all_views]
            rows.append((f"{row.published}, published", *(published_score(one) if one else EMPTY for one in scores)))
    return Table(
        title="Errors against views",
        caption=f"Face / head by the h3ds package in mm. {SPREAD}; in brackets the number of scenes.",
        header=("method", *(views_in_words(views) for views in definition.all_views)),
        rows=tuple(rows),
        note=floor_note(definition, frame),
    )


def change_table(definition: Definition, frame: pd.DataFrame, views: str) -> Table:
    """Mean errors of every row on the changed copies, and the face error beside that of the first change, over the
    scenes that both have."""
    first = definition.data.changes[0]
    rows = []
    for row in definition.rows_with(views):
        done = fits(frame, row.name, views)
        unchanged = _by_unchanged_scene(done, first, "face_rigid_mm")
        for change in definition.data.changes:
            values = {metric: _by_unchanged_scene(done, change, metric) for metric in METRICS}
            errors = (pair(*(values[metric].mean() for metric in metrics)) for metrics in (OFFICIAL, RIGID))
            face = values["face_rigid_mm"]
            shared = face.index.intersection(unchanged.index)
            rows.append((change, row.name, *errors, number(face[shared].mean() / unchanged[shared].mean())))
    return Table(
        title=f"Changed heads, {views_in_words(views)}",
        caption="Mean over scenes and seeds.",
        header=("head", "method", "face / head mm", "rigid: face / head mm", f"rigid face, of '{first}'"),
        rows=tuple(rows),
        note=floor_note(definition, frame),
    )


def _by_unchanged_scene(done: pd.DataFrame, change: str, metric: str) -> pd.Series:
    """One number a scene of a change, by the name of the scene without the change."""
    values = by_scene(done[done["change"] == change], metric)
    return values.rename(lambda scene: scene.removesuffix(f", {change}"))


def _both(frame: pd.DataFrame, row: Row, views: str) -> str:
    face, head = (summary(by_scene(fits(frame, row.name, views), metric)) for metric in OFFICIAL)
    return f"{spread(face)} / {spread(head)} ({face.scenes if face else 0})"
