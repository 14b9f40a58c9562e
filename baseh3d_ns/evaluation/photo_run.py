"""A trained head judged by its photos alone, for scenes without a scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from baseh3d_ns.evaluation.head_photos import photos_of_head
from baseh3d_ns.evaluation.photo_picture import photo_picture
from baseh3d_ns.evaluation.photo_scores import HeadRenderer, MeanScores, PhotoScores, photo_scores
from baseh3d_ns.evaluation.run_files import evaluation_folder, run_provenance, scale_of
from baseh3d_ns.evaluation.silhouettes import OnBackground, find_on_background
from baseh3d_ns.evaluation.write import SCORES, json_text, write_files
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.mesh.extract import mesh_of_head, usual_device

MESH_SPACING_MM = 2.0
"""Distance between the vertices that are compared with the silhouettes."""
NO_ACCURACY = (
    "This says how well the head fits its photos. It is no accuracy in millimetres: that takes a scan of the head "
    "(--scan FILE)."
)


@dataclass(frozen=True)
class JudgedRun:
    """A head, what its photos say of it, and the folder that was written."""

    head: Head
    scores: PhotoScores
    scale: dict[str, Any] | None
    """Source and uncertainty of the millimetres, where they are uncertain."""
    on_background: OnBackground | None
    """Vertices that training photos show outside the head."""
    warnings: tuple[str, ...]
    folder: Path


def judge_by_photos(opened: OpenedHead, output_dir: Path | None, doubts: tuple[str, ...] = ()) -> JudgedRun:
    """Compare a head with its photos, held-out ones and those it was trained on, and write the result.

    Args:
        opened: the head.
        output_dir: folder to write to; by default `evaluation` in the run's folder.
        doubts: further warnings.

    Raises:
        InputError: the head or its photos cannot be used.
    """
    file, head = opened.file, opened.head
    photos = photos_of_head(opened)
    device = usual_device()
    scores, rendered = photo_scores(HeadRenderer(head, field_of_head(head, file), photos, device), photos)
    mesh = mesh_of_head(head, file, MESH_SPACING_MM, device)
    outside, contradicted = find_on_background(opened, mesh.vertices)
    warnings, scale = (*head.doubts, *doubts, *contradicted), scale_of(head)
    content = {
        "note": NO_ACCURACY,
        **asdict(scores),
        "scale": scale,
        "on_background": outside and asdict(outside),
        "warnings": warnings,
        "provenance": run_provenance(head, file, device),
    }
    title = f"held out: {in_words(scores.held_out)}\ntrained on: {in_words(scores.training)}\n(no accuracy in mm)"
    folder = write_files(
        evaluation_folder(file, output_dir),
        {SCORES: json_text(content).encode()},
        lambda unfinished: photo_picture(unfinished, rendered, title),
    )
    return JudgedRun(head, scores, scale, outside, warnings, folder)


def in_words(scores: MeanScores | None) -> str:
    """Mean scores in a line."""
    if scores is None:
        return "no photo"
    means = f"mask IoU {scores.mask_iou:.3f}, PSNR {scores.psnr_db:.1f} dB, SSIM {scores.ssim:.3f}"
    return f"{means} ({scores.photos} photo{'s' if scores.photos > 1 else ''})"
