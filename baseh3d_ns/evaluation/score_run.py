"""Scores of a trained head against the scan of its scene, written beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.h3ds_root import H3dsRoot, open_h3ds
from baseh3d_ns.data.h3ds_scene import H3dsScene, load_scene
from baseh3d_ns.evaluation.head_photos import check_same_frame
from baseh3d_ns.evaluation.pictures import three_photos
from baseh3d_ns.evaluation.run_files import evaluation_folder, training_provenance
from baseh3d_ns.evaluation.scan_checks import misfits_with_photos
from baseh3d_ns.evaluation.scores import Evaluation, mesh_and_score
from baseh3d_ns.evaluation.silhouettes import find_on_background
from baseh3d_ns.evaluation.write import write_evaluation
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.mesh.extract import mesh_of_head, usual_device


@dataclass(frozen=True)
class ScoredRun:
    """A head, its scores, and the folder they were written to."""

    head: Head
    evaluation: Evaluation
    folder: Path


def score_run(opened: OpenedHead, output_dir: Path | None, spacing_mm: float) -> ScoredRun:
    """Mesh a head and score it against the scan of its scene.

    Args:
        opened: the head.
        output_dir: folder to write to; by default `evaluation` in the run's folder.
        spacing_mm: distance between the vertices that are scored.

    Raises:
        InputError: the head, the data or the scan cannot be used.
    """
    file, head = opened.file, opened.head
    root, h3ds_scene = scene_of_head(opened)
    device = usual_device()
    mesh, evaluation = mesh_and_score(
        root.h3ds,
        h3ds_scene.scene_id,
        lambda lattice_mm: mesh_of_head(head, file, lattice_mm, device),
        spacing_mm,
        {**training_provenance(head, file, device), "data": str(root.path)},
    )
    with CONSOLE.status("Comparing scan and photos, drawing the pictures ..."):
        doubts = (*head.doubts, *misfits_with_photos(root.h3ds, h3ds_scene))
        outside, contradicted = find_on_background(opened, mesh.vertices)
        warnings = (*doubts, *contradicted, *evaluation.warnings)
        evaluation = replace(evaluation, on_background=outside, warnings=warnings)
        folder = evaluation_folder(file, output_dir)
        return ScoredRun(head, evaluation, write_evaluation(folder, evaluation, mesh, three_photos(h3ds_scene)))


def scene_of_head(opened: OpenedHead) -> tuple[H3dsRoot, H3dsScene]:
    """The scene that a head was trained on.

    Raises:
        InputError: the head does not say which, the data are gone or damaged, or another scene lies there.
    """
    where, which = opened.scene_named()
    root = open_h3ds(where)
    found = load_scene(root, root.resolve_scene(which), needed=())
    check_same_frame(opened, found.frame, f"scene {found.scene_id} in {where}")
    return root, found
