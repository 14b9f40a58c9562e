"""Score the head of a finished run and write its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from baseh3d_ns.evaluation.run_provenance import run_provenance, three_photos
from baseh3d_ns.evaluation.scores import Evaluation, check_scene, evaluate_mesh, write_evaluation
from baseh3d_ns.runs import Run, mesh_of_run, open_run, scene_of_run


@dataclass(frozen=True)
class ScoredRun:
    """A run, its scores, and the folder they were written to."""

    run: Run
    evaluation: Evaluation
    folder: Path


def score_run(config_path: Path, data: Path | None, output_dir: Path | None, spacing_mm: float) -> ScoredRun:
    """Mesh the newest checkpoint of a run and score it against the scan of its scene.

    Args:
        config_path: config.yml of the run.
        data: the data, where they have moved since the training.
        output_dir: where to write; by default `evaluation` in the run's folder.
        spacing_mm: distance between the vertices that are scored.

    Raises:
        InputError: the run, the data or the scan cannot be used.
    """
    run = open_run(config_path)
    parser = scene_of_run(run, data)
    h3ds, scene = parser.root.h3ds, parser.scene
    check_scene(h3ds, scene.scene_id)
    # Halving the edges of a mesh twice as coarse moves its surface by microns and takes a quarter of the time.
    mesh = mesh_of_run(run, 2.0 * spacing_mm)
    evaluation = evaluate_mesh(h3ds, scene.scene_id, mesh, halvings=1, provenance=run_provenance(run, parser))
    folder = output_dir or run.checkpoint.parents[1] / "evaluation"
    return ScoredRun(run, evaluation, write_evaluation(folder, evaluation, mesh, three_photos(scene)))
