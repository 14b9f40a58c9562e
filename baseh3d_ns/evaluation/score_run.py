"""Scores of a trained head against the scan of its scene, written beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.h3ds_root import H3dsRoot, open_h3ds
from baseh3d_ns.data.h3ds_scene import H3dsScene, load_scene
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.head_photos import check_same_frame
from baseh3d_ns.evaluation.pictures import three_photos
from baseh3d_ns.evaluation.run_files import evaluation_folder, training_provenance
from baseh3d_ns.evaluation.scan_checks import misfits_with_photos
from baseh3d_ns.evaluation.scores import Evaluation, mesh_and_score
from baseh3d_ns.evaluation.silhouettes import find_on_background
from baseh3d_ns.evaluation.write import write_evaluation
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.readers import find_head_file, open_head
from baseh3d_ns.mesh.extract import mesh_of_head, usual_device


@dataclass(frozen=True)
class ScoredRun:
    """A head, its scores, and the folder they were written to."""

    head: Head
    evaluation: Evaluation
    folder: Path


def score_run(
    path: Path, data: Path | None, scene: str | None, output_dir: Path | None, spacing_mm: float
) -> ScoredRun:
    """Mesh a head and score it against the scan of its scene.

    Args:
        path: a run folder, its config.yml, a head file or a checkpoint.
        data: H3DS root, where it has moved since the training or the file does not know it.
        scene: scene id, for files that do not know theirs.
        output_dir: folder to write to; by default `evaluation` in the run's folder.
        spacing_mm: distance between the vertices that are scored.

    Raises:
        InputError: the head, the data or the scan cannot be used.
    """
    file, head = find_head_file(path), open_head(path)
    root, h3ds_scene = scene_of_head(head, file, data, scene)
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
        outside, contradicted = find_on_background(head, file, data, scene, mesh.vertices)
        warnings = (*doubts, *contradicted, *evaluation.warnings)
        evaluation = replace(evaluation, on_background=outside, warnings=warnings)
        folder = evaluation_folder(file, output_dir)
        return ScoredRun(head, evaluation, write_evaluation(folder, evaluation, mesh, three_photos(h3ds_scene)))


def scene_of_head(head: Head, file: Path, data: Path | None, scene: str | None) -> tuple[H3dsRoot, H3dsScene]:
    """The scene that a head was trained on.

    Raises:
        InputError: the head does not say which, the data are gone or damaged, or another scene lies there.
    """
    where, which = scene_named(head, file, data, scene)
    root = open_h3ds(where)
    found = load_scene(root, root.resolve_scene(which))
    check_same_frame(head, file, found.frame, f"scene {found.scene_id} in {where}")
    return root, found


def scene_named(head: Head, file: Path, data: Path | None, scene: str | None) -> tuple[Path, str]:
    """Root and name of the scene that the options or the head say.

    Raises:
        InputError: neither says it.
    """
    where, which = data or head.provenance.get("data"), scene or head.provenance.get("scene")
    if where is None or which is None:
        raise InputError(f"{file} does not record its scene: pass --data ROOT --scene NAME")
    return Path(where), str(which)
