"""The folder that an evaluation is written to."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from filelock import FileLock
from jaxtyping import Float

from baseh3d_ns.evaluation.pictures import PhotoView, evaluation_picture, heatmap_mesh
from baseh3d_ns.evaluation.rigid import RigidScores
from baseh3d_ns.evaluation.scores import Evaluation
from baseh3d_ns.files import cache_folder, check_folder_of, temporary_folder, whole_file
from baseh3d_ns.mesh.files import encode_mesh

SCORES, HEAD, HEATMAP, PICTURE = "evaluation.json", "head.ply", "error_heatmap.ply", "evaluation.png"
FILES = (SCORES, HEAD, HEATMAP, PICTURE)


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
    distances_mm = evaluation.rigid.pred_to_gt_mm
    content = {SCORES: evaluation_json(evaluation).encode(), **meshes_with_errors(mesh, distances_mm)}
    if not views:
        return write_files(folder, content)
    return write_files(
        folder, content, lambda path: evaluation_picture(path, views, mesh, distances_mm, _title(evaluation))
    )


def meshes_with_errors(mesh: trimesh.Trimesh, distances_mm: Float[np.ndarray, " n"]) -> dict[str, bytes]:
    """Files of a mesh as it is, and of the same one coloured by the distances of its vertices."""
    return {
        HEAD: encode_mesh(mesh, ".ply"),
        HEATMAP: encode_mesh(heatmap_mesh(mesh, distances_mm), ".ply"),
    }


def write_files(folder: Path, content: dict[str, bytes], picture: Callable[[Path], None] | None = None) -> Path:
    """Write files of an evaluation, all or none of them; for the rest see `write_evaluation`.

    Args:
        folder: where to.
        content: names and bytes, the scores first.
        picture: writes `evaluation.png` to a path.
    """
    if picture:
        with temporary_folder() as drawn:
            picture(drawn / PICTURE)
            content = {**content, PICTURE: (drawn / PICTURE).read_bytes()}
    # Of two evaluations that end together, the second sees what the first has written.
    with _one_at_a_time(), ExitStack() as all_or_nothing:
        chosen = _free_folder(Path(folder))
        # Files take their places in reverse order: where there are scores, the rest is there too.
        for name, bytes_ in content.items():
            all_or_nothing.enter_context(whole_file(chosen / name)).write_bytes(bytes_)
    return chosen


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Context that one process of this user on this machine is in at a time, where its file system has locks."""
    folder = cache_folder("baseh3d_ns", Path(tempfile.gettempdir()) / "baseh3d_ns")
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / "evaluation.lock"))
        yield


def check_evaluation_folder(folder: Path) -> None:
    """Raise `InputError` where an evaluation for a folder could not be written: before minutes are spent on it."""
    check_folder_of(_free_folder(Path(folder)) / SCORES)


def evaluation_json(evaluation: Evaluation) -> str:
    """The content of `evaluation.json`."""
    content = dataclasses.asdict(evaluation)
    # JSON has no NaN.
    content["face_spacing_mm"] = evaluation.face_spacing_mm if np.isfinite(evaluation.face_spacing_mm) else None
    content["rigid"] = rigid_table(evaluation.rigid)
    return json_text(content)


def rigid_table(scores: RigidScores) -> dict[str, Any]:
    """Rigid scores as JSON holds them, without the distance of every vertex."""
    table = dataclasses.asdict(scores)
    del table["pred_to_gt_mm"]
    return {**table, "pred_to_world": scores.pred_to_world.tolist()}


def json_text(content: dict[str, Any]) -> str:
    """Text of a JSON file that people read too."""
    return json.dumps(content, indent=2, default=str) + "\n"


def _free_folder(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3` ... that holds no evaluation."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    chosen, number = folder, 1
    # Not Path.exists, which raises for a folder that may not be entered.
    while any(os.path.exists(chosen / name) for name in FILES):
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
