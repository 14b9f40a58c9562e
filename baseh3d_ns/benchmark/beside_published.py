"""Which published number belongs beside one of ours, and why the two may differ."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pandas as pd

from baseh3d_ns.benchmark.definition import Definition, Row
from baseh3d_ns.benchmark.published import BASEH3D_SCANS, PUBLISHED, Published, Score

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCENES = {
    "h3d-net": "the ten h3d-net scenes",
    "23": "the 23 scenes of config_v1",
    "59": "the 59 scenes of config_v2",
}
"""Wording of `Published.scenes`; a single scan stands for itself."""
CONFIGS = ("config_v1", "config_v2")


@cache
def h3ds_scenes(config: str) -> dict[str, tuple[str, ...]]:
    """Tags of every scene id of a packaged h3ds configuration; of config_v1 also scanN, as the papers count."""
    from baseh3d_ns.data.h3ds_package import ConfigsHelper

    scenes = tomllib.loads(Path(ConfigsHelper.get_config_file(config)).read_text(encoding="utf-8"))["scenes"]
    return {
        scene_id: (*scenes[scene_id]["tags"], *([f"scan{number}"] if config == "config_v1" else []))
        for number, scene_id in enumerate(sorted(scenes))
    }


def published_scenes(published: Published) -> frozenset[str]:
    """Ids of the scenes that a publication was measured on."""
    scenes = h3ds_scenes("config_v2" if published.scenes == "59" else "config_v1")
    if published.scenes.isdigit():
        return frozenset(scenes)
    return frozenset(scene_id for scene_id, tags in scenes.items() if published.scenes in tags)


def score_of_scan(row: Row, views: str, scene_id: str) -> Score | None:
    """Published score of the row's method on one scan; None where there is none."""
    tags = h3ds_scenes("config_v1").get(scene_id, ())
    if row.published == "BaseH3D-Net" and views == "3":
        return next((BASEH3D_SCANS[tag] for tag in tags if tag in BASEH3D_SCANS), None)
    published = PUBLISHED.get(row.published)
    alone = published is not None and re.fullmatch(r"scan\d+", published.scenes) and published.scenes in tags
    return published.by_views.get(views) if published and alone else None


def scene_ids(frame: pd.DataFrame) -> dict[str, str]:
    """Scene ids by the names of the scenes, as far as one is finished; a failure may not know the id."""
    done = frame[(frame["status"] == "done") & (frame["scene_id"] != "")]
    return dict(zip(done["scene"], done["scene_id"], strict=True))


def reasons(published: Published, definition: Definition, done: pd.DataFrame, planned: int) -> str:
    """Why our number may differ from a published one, in words.

    Args:
        published: the published numbers.
        definition: says whether the scenes are synthetic.
        done: the finished results that ours is the mean of; at least one.
        planned: scenes there would be if all had finished.
    """
    found = []
    ours = set(done["scene_id"])
    if ours != published_scenes(published):
        theirs = SCENES.get(published.scenes, published.scenes)
        found.append(f"published on {theirs}, ours on {_ours_in_words(definition, done)}")
    if len(ours) < planned:
        found.append(f"fewer scenes finished: {len(ours)} of {planned}")
    configs = set(done["config"]) & set(CONFIGS)
    if not published.config:
        found.append("other evaluation: its own")
    elif configs - {published.config}:
        found.append(f"other evaluation: published with {published.config}, ours with {', '.join(sorted(configs))}")
    return "; ".join(found) or "same scenes and evaluation: another method or implementation, other priors"


def _ours_in_words(definition: Definition, done: pd.DataFrame) -> str:
    names = list(done["scene"].unique())
    if definition.data.synthetic:
        return f"{len(names)} synthetic one{'s' if len(names) > 1 else ''}"
    if not set(done["scene_id"]) & set(h3ds_scenes("config_v2")):
        return f"{len(names)} that {'are' if len(names) > 1 else 'is'} not of H3DS"
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} of H3DS"
