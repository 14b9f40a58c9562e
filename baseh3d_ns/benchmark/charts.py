"""The charts of a benchmark: errors of every scan, error against time, convergence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from baseh3d_ns.benchmark.beside_published import scene_ids, score_of_scan
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.markdown import views_in_words
from baseh3d_ns.benchmark.metrics import FLOOR_NAME, planned_scenes
from baseh3d_ns.benchmark.statistics import by_scene, fits, floor_by_scene, mean_curve, summary

if TYPE_CHECKING:
    from plotly import graph_objects as go

PANELS = (("face_mm", "face mm"), ("head_mm", "head mm"))
"""Metric and title of the left and the right half of every chart."""
HEIGHT_PX = 380


def scan_bars(definition: Definition, frame: pd.DataFrame, views: str) -> go.Figure:
    """Face and head error of every scan: a bar for each row, hatched where published, a line for the floor."""
    scenes, ids = planned_scenes(definition, frame), scene_ids(frame)
    figure = _panels()
    for column, (metric, _) in enumerate(PANELS, 1):
        bars: dict[str, tuple[dict[str, float], str, str]] = {}
        for row in definition.rows_with(views):
            measured = by_scene(fits(frame, row.name, views), metric)
            bars[row.name] = (measured.to_dict(), _colour(definition, row.name), "")
        for row in definition.rows_with(views):
            scores = {scene: score_of_scan(row, views, ids.get(scene, "")) for scene in scenes}
            published = {scene: getattr(score, metric) for scene, score in scores.items() if score}
            if published:
                bars[f"{row.published}, published"] = (published, _colour(definition, row.name), "/")
        for name, (values, colour, pattern) in bars.items():
            _add(
                figure,
                column,
                name,
                type="bar",
                x=scenes,
                y=[values.get(scene) for scene in scenes],
                marker={"color": colour, "pattern": {"shape": pattern}},
            )
        floor = floor_by_scene(frame, metric)
        if len(floor):
            mark = {"symbol": "line-ew", "size": 26, "line": {"width": 2, "color": "black"}}
            _add(figure, column, FLOOR_NAME, x=list(floor.index), y=list(floor), mode="markers", marker=mark)
    return figure


def error_against_time(definition: Definition, frame: pd.DataFrame) -> go.Figure:
    """Mean error of every row against its mean training time, with the std; single fits pale behind."""
    figure = _panels("seconds of training")
    figure.update_xaxes(type="log")
    for column, (metric, _) in enumerate(PANELS, 1):
        for row in definition.rows:
            colour = _colour(definition, row.name)
            done = {views: fits(frame, row.name, views) for views in definition.views_of(row)}
            single = pd.concat(list(done.values())).dropna(subset=["train_s"])
            _add(
                figure,
                column,
                row.name,
                legend=False,
                x=list(single["train_s"]),
                y=list(single[metric]),
                text=[f"{one.scene}, {views_in_words(one.views)}" for one in single.itertuples()],
                mode="markers",
                opacity=0.5,
                marker={"color": colour},
            )
            means = {
                views: (summary(by_scene(one, "train_s")), summary(by_scene(one, metric)))
                for views, one in done.items()
            }
            known = [(views, time, error) for views, (time, error) in means.items() if time and error]
            _add(
                figure,
                column,
                row.name,
                x=[time.mean for _, time, _ in known],
                y=[error.mean for *_, error in known],
                error_y={"type": "data", "array": [error.std for *_, error in known]},
                text=[views_in_words(views) for views, *_ in known],
                textposition="top right",
                mode="lines+markers+text" if len(definition.all_views) > 1 else "markers",
                marker={"color": colour, "size": 11},
            )
    return figure


def convergence(definition: Definition, curves: pd.DataFrame, views: str) -> go.Figure | None:
    """Error on the way against time: the mean of a row's fits, single fits pale behind; None without curves."""
    figure = _panels("seconds of training")
    for row in definition.rows:
        of_row = curves[(curves["row"] == row.name) & (curves["views"] == views)]
        single = [one for _, one in of_row.groupby(["scene", "seed"], sort=False)]
        for points in single if len(single) > 1 else []:
            _add_curve(figure, row.name, points, _colour(definition, row.name), mean=False)
        if single:
            _add_curve(figure, row.name, mean_curve(of_row), _colour(definition, row.name), mean=True)
    return figure if figure.data else None


def _add_curve(figure: go.Figure, name: str, points: pd.DataFrame, colour: str, mean: bool) -> None:
    """A line in both panels; the mean of several fits is thick."""
    for column, (metric, _) in enumerate(PANELS, 1):
        _add(
            figure,
            column,
            name,
            legend=mean,
            x=list(points["seconds"]),
            y=list(points[metric]),
            text=[f"step {step}" for step in points["step"]],
            mode="lines+markers" if mean else "lines",
            line={"color": colour, "width": 3 if mean else 1},
            opacity=1.0 if mean else 0.35,
            hoverinfo="all" if mean else "skip",
        )


def _add(figure: go.Figure, column: int, name: str, legend: bool = True, **trace: Any) -> None:
    """Add a trace to a panel; a name stands in the legend once."""
    known = {one.name for one in figure.data if one.showlegend}
    shown = legend and name not in known
    trace = {"type": "scatter", "name": name, "legendgroup": name, "showlegend": shown, **trace}
    figure.add_trace(trace, row=1, col=column)


def _panels(x_title: str = "") -> go.Figure:
    """Face on the left, head on the right."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.07)
    for column, (_, title) in enumerate(PANELS, 1):
        figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
        figure.update_xaxes(title_text=x_title, row=1, col=column)
    figure.update_layout(
        template="plotly_white",
        height=HEIGHT_PX,
        margin={"l": 50, "r": 10, "t": 30, "b": 50},
        barmode="group",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure


def _colour(definition: Definition, name: str) -> str:
    """Colour of a row, the same in every chart."""
    from plotly.colors import qualitative

    index = [row.name for row in definition.rows].index(name)
    return qualitative.D3[index % len(qualitative.D3)]
