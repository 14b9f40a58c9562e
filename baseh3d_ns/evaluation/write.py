"""The folder that an evaluation is written to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import trimesh

from baseh3d_ns.evaluation.pictures import PhotoView, evaluation_picture, heatmap_mesh
from baseh3d_ns.evaluation.scores import Evaluation
from baseh3d_ns.files import whole_file
from baseh3d_ns.mesh.files import encode_mesh

SCORES, HEAD, HEATMAP, PICTURE = "evaluation.json", "head.ply", "error_heatmap.ply", "evaluation.png"
FILES = (SCORES, HEAD, HEATMAP, PICTURE)
ARRAYS = ("pred_to_world", "pred_to_gt_mm")
"""Fields of `RigidScores` that are not numbers for a table."""


def write_evaluation(
    folder: Path, evaluation: Evaluation, mesh: trimesh.Trimesh, views: Sequence[PhotoView] = ()
) -> Path:
    """Write `evaluation.json`, two meshes (`head.ply`, `error_heatmap.ply`) and, given views, `evaluation.png`.

    Nothing is ever overwritten, and an interrupted evaluation leaves none of the files.

    Returns:
        The folder written to: `folder`, or `folder-2`, `folder-3` ... beside it when it holds an evaluation already.

    Raises:
        InputError: the folder cannot be written to.
    """
    chosen = _free_folder(Path(folder))
    distances_mm = evaluation.rigid.pred_to_gt_mm
    with ExitStack() as all_or_nothing:
        # Files take their places in reverse order: where there are scores, the rest is there too.
        paths = {
            name: all_or_nothing.enter_context(whole_file(chosen / name)) for name in (FILES if views else FILES[:-1])
        }
        paths[SCORES].write_text(evaluation_json(evaluation), encoding="utf-8")
        paths[HEAD].write_bytes(encode_mesh(mesh, ".ply"))
        paths[HEATMAP].write_bytes(encode_mesh(heatmap_mesh(mesh, distances_mm), ".ply"))
        if views:
            evaluation_picture(paths[PICTURE], views, mesh, distances_mm, _title(evaluation))
    return chosen


def evaluation_json(evaluation: Evaluation) -> str:
    """The content of `evaluation.json`."""
    content = dataclasses.asdict(evaluation)
    for name in ARRAYS:
        del content["rigid"][name]
    # JSON has no NaN.
    content["face_spacing_mm"] = evaluation.face_spacing_mm if np.isfinite(evaluation.face_spacing_mm) else None
    content["rigid"]["pred_to_world"] = evaluation.rigid.pred_to_world.tolist()
    return json.dumps(content, indent=2, default=str) + "\n"


def _free_folder(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3` ... that holds no evaluation."""
    chosen, number = folder, 1
    while any((chosen / name).exists() for name in FILES):
        number += 1
        chosen = folder.with_name(f"{folder.name}-{number}")
    return chosen


def _title(evaluation: Evaluation) -> str:
    """The scores in one line."""
    official, rigid = evaluation.official, evaluation.rigid
    return (
        f"{evaluation.provenance['scene']}   H3DS face / head {official.face_mm:.2f} / {official.head_mm:.2f} mm "
        f"(scale {official.face_icp_scale:.3f})   rigid, both ways {rigid.face.mean_mm:.2f} / "
        f"{rigid.head.mean_mm:.2f} mm"
    )
