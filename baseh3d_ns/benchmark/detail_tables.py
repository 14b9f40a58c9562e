"""Tables in detail: every scan, beside published numbers, time to the error of the first row, what is missing."""

from __future__ import annotations

import pandas as pd

from baseh3d_ns.benchmark.beside_published import reasons, scene_ids, score_of_scan
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.markdown import EMPTY, Table, number, pair, published_score, spread, views_in_words
from baseh3d_ns.benchmark.metrics import FLOOR_NAME, OFFICIAL, SPREAD, floor_note, on_first_change, planned_scenes
from baseh3d_ns.benchmark.published import PUBLISHED
from baseh3d_ns.benchmark.statistics import by_scene, fits, floor_by_scene, summary

RACE = ("face", "head", "seconds", "first face", "first head", "first seconds", "soon")


@on_first_change
def published_table(definition: Definition, frame: pd.DataFrame, views: str) -> Table:
    """Ours beside published numbers, for every row that names them."""
    planned = len(planned_scenes(definition, frame))
    rows = []
    for row in definition.rows_with(views):
        published = PUBLISHED.get(row.published)
        score = published.by_views.get(views) if published else None
        if not published or not score:
            continue
        done = fits(frame, row.name, views)
        ours = [summary(by_scene(done, metric)) for metric in OFFICIAL]
        difference = " / ".join(
            f"{one.mean - mean:+.2f}" if one else EMPTY
            for one, mean in zip(ours, (score.face_mm, score.head_mm), strict=True)
        )
        why = reasons(published, definition, done, planned) if len(done) else "ours not finished"
        both = " / ".join(spread(one) for one in ours)
        theirs = f"{row.published}: {published_score(score)}"
        scenes = str(ours[0].scenes if ours[0] else 0)
        rows.append((row.name, scenes, both, theirs, difference, why, published.scored_with))
    return Table(
        title=f"Beside published numbers, {views_in_words(views)}",
        caption=f"Face / head by the h3ds package in mm. {SPREAD}.",
        header=("method", "scenes", "ours", "published", "ours - published", "reason", "published with"),
        rows=tuple(rows),
        note=floor_note(definition, frame),
    )


def scan_table(definition: Definition, frame: pd.DataFrame, views: str) -> Table:
    """Face / head of every scene, beside the number published for that scan, and the floor there."""
    ids = scene_ids(frame)
    scenes = planned_scenes(definition, frame)
    columns: dict[str, dict[str, str]] = {}
    for row in definition.rows_with(views):
        done = fits(frame, row.name, views)
        columns[row.name] = _pairs(*(by_scene(done, metric) for metric in OFFICIAL))
        scores = {scene: score_of_scan(row, views, ids.get(scene, "")) for scene in scenes}
        if any(scores.values()):
            columns[f"{row.published}, published"] = {scene: published_score(s) for scene, s in scores.items() if s}
    if definition.floor:
        columns[FLOOR_NAME] = _pairs(*(floor_by_scene(frame, metric) for metric in OFFICIAL))
    return Table(
        title=f"Every scan, {views_in_words(views)}",
        caption="Face / head by the h3ds package in mm; seeds averaged.",
        header=("scan", *columns),
        rows=tuple((scene, *(column.get(scene, EMPTY) for column in columns.values())) for scene in scenes),
        note=floor_note(definition, frame),
    )


@on_first_change
def race_table(definition: Definition, curves: pd.DataFrame, views: str) -> Table:
    """End of every row beside that of the first, and the time until its face is as good; from the first seed.

    Args:
        definition: the benchmark.
        curves: scores on the way (`results.curves_frame`).
        views: view configuration.
    """
    first, *others = definition.rows_with(views)
    lines, scenes = [], list(curves["scene"].unique())
    for row in others:
        found = [_race(curves, scene, views, first.name, row.name) for scene in scenes]
        races = pd.DataFrame(found, index=scenes, columns=list(RACE)).dropna(subset=["face"])
        if len(races) > 1:
            # A mean without the scenes where the second was never as good would be too soon.
            races.loc["mean"] = races.mean(skipna=False)
        lines += [(str(scene), row.name, *_race_cells(one)) for scene, one in races.iterrows()]
    ends = ("face / head mm", "after s")
    race = (f"face, head of {first.name}'s", "s until as good in the face", f"of {first.name}'s time")
    return Table(
        title=f"Race with {first.name}, {views_in_words(views)}",
        caption="Rigid, ground truth to surface; scored on the way, the clock stopped.",
        header=("scan", "method", *ends, *(f"{first.name}: {name}" for name in ends), *race),
        rows=tuple(lines),
    )


def _race(curves: pd.DataFrame, scene: str, views: str, first: str, other: str) -> dict[str, float]:
    """Ends of two rows on a scene, and the seconds until the second's face is as good as the first's end."""
    here = curves[(curves["scene"] == scene) & (curves["views"] == views)]
    of_rows = [here[here["row"] == name] for name in (first, other)]
    if any(one.empty for one in of_rows):
        return {}
    theirs, ours = (one[one["seed"] == one["seed"].min()].sort_values("step") for one in of_rows)
    end, goal = ours.iloc[-1], theirs.iloc[-1]
    return {
        **{"face": end["face_mm"], "head": end["head_mm"], "seconds": end["seconds"]},
        **{"first face": goal["face_mm"], "first head": goal["head_mm"], "first seconds": goal["seconds"]},
        "soon": ours.loc[ours["face_mm"] <= goal["face_mm"], "seconds"].min(),
    }


def _race_cells(one: pd.Series) -> tuple[str, ...]:
    ends = pair(one["face"], one["head"]), number(one["seconds"], 0)
    theirs = pair(one["first face"], one["first head"]), number(one["first seconds"], 0)
    ratios = f"{one['face'] / one['first face']:.2f}, {one['head'] / one['first head']:.2f}"
    return (*ends, *theirs, ratios, number(one["soon"], 1), number(one["soon"] / one["first seconds"]))


def unfinished_table(definition: Definition, frame: pd.DataFrame) -> Table:
    """Cells that failed or were skipped, fits and floors that are not there yet."""
    tried = frame[frame["status"] != "missing"]
    rows = [
        (one.row or one.kind, one.scene, one.views, str(one.seed), one.status, one.reason or "no reason given")
        for one in tried[tried["status"] != "done"].itertuples()
    ]
    there = set(zip(tried["kind"], tried["row"], tried["views"], tried["seed"], tried["scene"], strict=True))
    floors = {(kind, scene) for kind, *_, scene in there}
    scenes = planned_scenes(definition, frame)
    for row in definition.rows:
        for views in definition.views_of(row):
            for seed in definition.seeds:
                lacking = [scene for scene in scenes if ("fit", row.name, views, seed, scene) not in there]
                if lacking:
                    rows.append((row.name, ", ".join(lacking), views, str(seed), "missing", "no result yet"))
    lacking = [scene for scene in scenes if ("floor", scene) not in floors] if definition.floor else []
    if lacking:
        rows.append((FLOOR_NAME, ", ".join(lacking), "", "0", "missing", "no result yet"))
    return Table(
        title="Not finished",
        caption="Means leave these out, pairs too.",
        header=("method", "scenes", "views", "seed", "status", "reason"),
        rows=tuple(rows),
    )


def _pairs(face: pd.Series, head: pd.Series) -> dict[str, str]:
    return {scene: pair(face.get(scene), head.get(scene)) for scene in dict.fromkeys([*face.index, *head.index])}
