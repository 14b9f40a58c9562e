"""The charts of a benchmark: errors of every scan, error against time, convergence."""

from __future__ import annotations

from collections.abc import Sequence

from plotly import graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from baseh3d_ns.benchmark.beside_published import planned_scenes, scene_ids, score_of_scan
from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.results import FLOOR, Point, Result
from baseh3d_ns.benchmark.statistics import by_scene, mean_curve, summary
from baseh3d_ns.benchmark.tables import views_in_words

PANELS = (("face_mm", "face mm"), ("head_mm", "head mm"))
"""What the left and the right half of every chart show."""
HEIGHT_PX = 380


def scan_bars(definition: Definition, results: Sequence[Result], views: str) -> go.Figure:
    """Face and head error of every scan: a bar for each row, hatched where published, a line for the floor."""
    scenes = planned_scenes(definition, results)
    ids = scene_ids(results)
    figure = _panels()
    shown: set[str] = set()
    for column, (metric, _) in enumerate(PANELS, 1):
        bars = {row.name: (by_scene(results, row.name, views, metric), _colour(definition, row.name), "")
                for row in definition.rows}  # fmt: skip
        for row in definition.rows:
            scores = {scene: score_of_scan(row, views, ids.get(scene, "")) for scene in scenes}
            published = {scene: getattr(score, metric) for scene, score in scores.items() if score}
            if published:
                bars[f"{row.published}, published"] = (published, _colour(definition, row.name), "/")
        for name, (values, colour, pattern) in bars.items():
            bar = go.Bar(
                x=scenes, y=[values.get(scene) for scene in scenes], name=name, legendgroup=name,
                showlegend=name not in shown, marker={"color": colour, "pattern": {"shape": pattern}},
            )  # fmt: skip
            shown.add(name)
            figure.add_trace(bar, row=1, col=column)
        floor = by_scene(results, FLOOR, "", metric)
        if floor:
            mark = {"symbol": "line-ew", "size": 26, "line": {"width": 2, "color": "black"}}
            line = go.Scatter(
                x=list(floor), y=list(floor.values()), mode="markers", name=FLOOR, legendgroup=FLOOR,
                showlegend=FLOOR not in shown, marker=mark,
            )  # fmt: skip
            shown.add(FLOOR)
            figure.add_trace(line, row=1, col=column)
    return figure


def error_against_time(definition: Definition, results: Sequence[Result]) -> go.Figure:
    """Mean error of every row against its mean training time, with the std; single fits pale behind."""
    figure = _panels("seconds of training")
    figure.update_xaxes(type="log")
    for column, (metric, _) in enumerate(PANELS, 1):
        for row in definition.rows:
            colour = _colour(definition, row.name)
            fits = [one for one in results if one.row == row.name and one.done and one.train_s]
            single = go.Scatter(
                x=[one.train_s for one in fits], y=[getattr(one, metric) for one in fits], mode="markers", opacity=0.5,
                text=[f"{one.scene}, {views_in_words(one.views)}" for one in fits], showlegend=False, name=row.name,
                legendgroup=row.name, marker={"color": colour},
            )  # fmt: skip
            figure.add_trace(single, row=1, col=column)
            means = {
                views: (summary(by_scene(fits, row.name, views, "train_s")),
                        summary(by_scene(fits, row.name, views, metric)))
                for views in definition.views
            }  # fmt: skip
            known = [(views, time, error) for views, (time, error) in means.items() if time and error]
            mean = go.Scatter(
                x=[time.mean for _, time, _ in known], y=[error.mean for *_, error in known],
                error_y={"type": "data", "array": [error.std for *_, error in known]},
                text=[views_in_words(views) for views, *_ in known], textposition="top right", name=row.name,
                mode="lines+markers+text" if len(definition.views) > 1 else "markers", showlegend=column == 1,
                legendgroup=row.name, marker={"color": colour, "size": 11},
            )  # fmt: skip
            figure.add_trace(mean, row=1, col=column)
    return figure


def convergence(definition: Definition, results: Sequence[Result], views: str) -> go.Figure | None:
    """Error on the way against time: the mean of a row's fits, single fits pale behind; None without curves."""
    figure = _panels("seconds of training")
    for row in definition.rows:
        curves = [one.curve for one in results if (one.row, one.views) == (row.name, views) and one.done and one.curve]
        colour = _colour(definition, row.name)
        lines: list[tuple[Sequence[Point], bool]] = [(curve, False) for curve in curves] if len(curves) > 1 else []
        lines += [(mean_curve(curves), True)] if curves else []
        for column, (metric, _) in enumerate(PANELS, 1):
            for points, mean in lines:
                trace = go.Scatter(
                    x=[point.seconds for point in points], y=[getattr(point, metric) for point in points],
                    text=[f"step {point.step}" for point in points], mode="lines+markers" if mean else "lines",
                    line={"color": colour, "width": 3 if mean else 1}, opacity=1.0 if mean else 0.35, name=row.name,
                    legendgroup=row.name, showlegend=mean and column == 1, hoverinfo="all" if mean else "skip",
                )  # fmt: skip
                figure.add_trace(trace, row=1, col=column)
    return figure if figure.data else None


def _panels(x_title: str = "") -> go.Figure:
    """Face on the left, head on the right."""
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.07)
    for column, (_, title) in enumerate(PANELS, 1):
        figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
        figure.update_xaxes(title_text=x_title, row=1, col=column)
    figure.update_layout(
        template="plotly_white", height=HEIGHT_PX, margin={"l": 50, "r": 10, "t": 30, "b": 50}, barmode="group",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    return figure


def _colour(definition: Definition, name: str) -> str:
    """The same for a row in every chart."""
    index = [row.name for row in definition.rows].index(name)
    return qualitative.D3[index % len(qualitative.D3)]
