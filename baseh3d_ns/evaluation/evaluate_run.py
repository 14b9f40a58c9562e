"""Evaluation of a trained head by the best that there is: the user's scan, the scan of its scene, or its photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.head_size import Unit
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.photo_run import NO_ACCURACY, JudgedRun, in_words, judge_by_photos
from baseh3d_ns.evaluation.run_files import evaluation_folder, scale_sentence
from baseh3d_ns.evaluation.scan_run import NOT_OFFICIAL, ScanRun, score_with_scan
from baseh3d_ns.evaluation.score_run import ScoredRun, score_run
from baseh3d_ns.evaluation.scores import scan_files
from baseh3d_ns.evaluation.silhouettes import MARGIN_MM, OnBackground
from baseh3d_ns.evaluation.write import check_evaluation_folder
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.opened import OpenedHead


def evaluate_run(
    opened: OpenedHead, output_dir: Path | None, spacing_mm: float, scan: Path | None = None, unit: Unit | None = None
) -> list[str]:
    """Evaluate a head and write the result; what to print about it, a line each.

    Args:
        opened: the head.
        output_dir: folder to write to; by default `evaluation` in the run's folder.
        spacing_mm: distance between the vertices that are scored.
        scan: a mesh to score against, instead of the scene's.
        unit: unit of that mesh.

    Raises:
        InputError: the folder cannot be written to; the head, the data or the scan cannot be used.
    """
    check_evaluation_folder(evaluation_folder(opened.file, output_dir))
    if scan is not None:
        return list(_scan_lines(score_with_scan(opened, scan, unit, output_dir, spacing_mm)))
    if unit is not None:
        raise InputError("--unit is the unit of a --scan: give both, or neither")
    if opened.head.latents is not None:
        raise InputError(
            f"{opened.file} is a shape space, no person's head: fit a head from it (--load-prior), or pass a --scan"
        )
    missing = _missing_for_official_scores(opened)
    if missing is None:
        return list(_official_lines(score_run(opened, output_dir, spacing_mm)))
    return list(_photo_lines(judge_by_photos(opened, output_dir, missing)))


def _missing_for_official_scores(opened: OpenedHead) -> tuple[str, ...] | None:
    """None where the scene has all that official scores need, else what to say about it."""
    if opened.head.provenance.get("dataparser", "h3ds-data") != "h3ds-data":
        return ()
    where, which = opened.scene_named()
    root = open_h3ds(where)
    files = scan_files(root.h3ds, root.resolve_scene(which))
    missing = [path for path in files if not path.is_file()]
    if not missing:
        return None
    if len(missing) == len(files):
        return ()
    return (f"{missing[0]} is missing, so there are no official scores; the scan alone can be scored with --scan.",)


def _official_lines(run: ScoredRun) -> Iterator[str]:
    official, rigid = run.evaluation.official, run.evaluation.rigid
    yield _training(run.head, run.evaluation.provenance["scene"])
    scales = f"{official.face_icp_scale:.3f}, {official.head_icp_scale:.3f}"
    yield f"h3ds package : face {official.face_mm:.2f} mm, head {official.head_mm:.2f} mm (its scale: {scales})"
    yield f"rigid, 2-way : face {rigid.face.mean_mm:.2f} mm, head {rigid.head.mean_mm:.2f} mm"
    if rigid.shown_face is not None:
        share = rigid.shown_face.points / rigid.face.gt_to_pred.points
        where = f"the {100.0 * share:.0f} % of the scan's face that two of its photos can see"
        yield f"what is shown: {rigid.shown_face.mean_mm:.2f} mm over {where} (rigid, to the surface)"
    yield from _background(run.evaluation.on_background)
    yield from _closing(run.evaluation.warnings, run.folder)


def _scan_lines(run: ScanRun) -> Iterator[str]:
    rigid, scaled = run.scores.rigid, run.scores.scale_aligned
    yield _training(run.head, run.head.provenance.get("scene"))
    yield f"rigid, 2-way : face {rigid.face.mean_mm:.2f} mm, head {rigid.head.mean_mm:.2f} mm"
    if scaled is not None:
        means = f"face {scaled.face_mm:.2f} mm, head {scaled.head_mm:.2f} mm"
        yield f"size fitted  : {means} (with the head's size times {scaled.scale:.2f})"
    if run.scale is not None:
        yield f"scale        : {scale_sentence(run.scale)}"
    yield from _background(run.on_background)
    yield NOT_OFFICIAL
    yield from _closing(run.warnings, run.folder)


def _photo_lines(run: JudgedRun) -> Iterator[str]:
    scores = run.scores
    yield _training(run.head, run.head.provenance.get("scene"))
    yield f"held out     : {in_words(scores.held_out)}"
    yield f"trained on   : {in_words(scores.training)}"
    if scores.photo_consistency is not None:
        likeness = scores.photo_consistency
        share = f"{100.0 * likeness.seen_twice:.0f} % of the surface is seen by two photos or more"
        yield f"consistency  : NCC {likeness.mean_ncc:.3f} between training photos; {share}"
    corrected = [view.correction for view in scores.views if view.correction is not None]
    if corrected:
        turn, shift = max(one.rotation_deg for one in corrected), max(one.centre_mm for one in corrected)
        yield f"cameras      : turned by at most {turn:.2f} degrees, moved by at most {shift:.1f} mm against the others"
    if run.scale is not None:
        yield f"scale        : {scale_sentence(run.scale)}"
    yield from _background(run.on_background)
    yield NO_ACCURACY
    yield from _closing(run.warnings, run.folder)


def _background(found: OnBackground | None) -> Iterator[str]:
    if found is not None:
        where = f"more than {MARGIN_MM:.0f} mm outside a silhouette of its photos"
        yield f"background   : {100.0 * found.share:.1f} % of the surface lies {where}"


def _training(head: Head, scene: object) -> str:
    known = head.provenance
    views = f"{len(known['views'])} views" if "views" in known else "views unknown"
    method, steps = known.get("method", "method unknown"), known.get("steps", "unknown")
    return f"scene {scene or 'unknown'}, {views}, {method}, {steps} steps"


def _closing(warnings: tuple[str, ...], folder: Path) -> Iterator[str]:
    yield from (f"note: {warning}" for warning in warnings)
    yield f"written to {folder}"
