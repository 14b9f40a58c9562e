"""The one set of metrics of every benchmark, its floor, and the scenes it is measured on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps

import pandas as pd

from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.markdown import Table, counted
from baseh3d_ns.benchmark.statistics import floor_by_scene, summary

METRICS = {
    "face_mm": "face mm",
    "head_mm": "head mm",
    "face_rigid_mm": "face rigid mm",
    "head_rigid_mm": "head rigid mm",
}
"""Column of `results.to_frame`, and its heading."""
OFFICIAL, RIGID = ("face_mm", "head_mm"), ("face_rigid_mm", "head_rigid_mm")
MEANING = "face, head: h3ds package (its ICP scales); rigid: no scale, to the surface, both ways"
FLOOR_NAME = "metric's own floor"
"""Heading of the ground truth itself, meshed by our mesher and scored."""
SPREAD = "Mean ± std over scenes, the std of the population (ddof 0) as in the BaseH3D-Net paper; seeds averaged first"


def floor_note(definition: Definition, frame: pd.DataFrame) -> str:
    """Score of the scans themselves, meshed by our mesher: no method can score below."""
    if not definition.floor:
        return ""
    first = definition.data.changes[:1]  # none left in tables of the first change alone, whose captions say so
    _, frame = of_first_change(definition, frame)
    # Two-way errors are left out: beyond the rim of an open scan its mesh goes on, so they are no lower bound.
    values = {METRICS[metric]: summary(floor_by_scene(frame, metric)) for metric in OFFICIAL}
    known = [f"{name.removesuffix(' mm')} {one.mean:.2f}" for name, one in values.items() if one]
    if not known:
        return f"{FLOOR_NAME.capitalize()}: not measured."
    scenes = counted(max(one.scenes for one in values.values() if one), "scene")
    alone = f", heads '{first[0]}' alone" if first else ""
    return f"{FLOOR_NAME.capitalize()}: {', '.join(known)} mm, mean of {scenes}{alone}."


def of_first_change(definition: Definition, frame: pd.DataFrame) -> tuple[Definition, pd.DataFrame]:
    """The benchmark without changed copies of its scenes: those of its first change stand for them.

    Args:
        definition: the benchmark.
        frame: results or scores on the way (`results.to_frame`, `results.curves_frame`).
    """
    if not definition.data.changes:
        return definition, frame
    ending = f", {definition.data.changes[0]}"
    copies = frame[frame["scene"].str.endswith(ending)]
    scenes = copies["scene"].str.removesuffix(ending)
    return replace(definition, data=replace(definition.data, changes=())), copies.assign(scene=scenes)


def on_first_change(make: Callable[..., Table]) -> Callable[..., Table]:
    """A table of the heads of the first change alone, as its caption says, where a benchmark has changes: heads that
    are copies of one another are no scenes to take a mean over."""

    @wraps(make)
    def made(definition: Definition, frame: pd.DataFrame, *views: str) -> Table:
        table = make(*of_first_change(definition, frame), *views)
        first = definition.data.changes[:1]
        return replace(table, caption=f"{table.caption} Heads '{first[0]}' alone.") if first else table

    return made


def planned_scenes(definition: Definition, frame: pd.DataFrame) -> list[str]:
    """Names of the scenes of a benchmark, as far as definition and results tell, in their order.

    The scenes of a tag are known from the results.
    """
    synthetic = definition.data.synthetic
    named = [name for name in definition.scenes if re.fullmatch(r"scan\d+", name)]
    if synthetic and definition.scenes == ("all",):
        named = [f"scan{number}" for number in range(synthetic.subjects)]
    if definition.data.changes:
        named = [f"{name}, {change}" for name in named for change in definition.data.changes]
    measured = frame.loc[frame["kind"].isin(["fit", "floor"]), "scene"]
    return list(dict.fromkeys([*named, *measured]))
