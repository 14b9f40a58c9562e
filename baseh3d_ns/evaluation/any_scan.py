"""Rigid scores of a head against any scan of it: no landmarks, no regions, perhaps another world.

1. The tip of the nose on the prediction, by its profile; its face: what lies within `FACE_RADIUS_MM` of it. Where the
   scan then fits badly or covers a part of that face, the next likely tips are tried.
2. The scan brought into the head's world by its face, from where it is or from anywhere (`global_alignment`).
3. Robust ICP of the scan's face to the prediction, then distances both ways, as in `rigid`.

These are no official scores: those need the landmarks and regions of H3DS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float

from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.global_alignment import align_from_anywhere
from baseh3d_ns.evaluation.icp import align_by_similarity, align_rigidly
from baseh3d_ns.evaluation.protocol import FACE_RADIUS_MM
from baseh3d_ns.evaluation.rigid import RigidScores, score_aligned
from baseh3d_ns.frames import SceneFrame

SCAN_POINTS = 100_000
"""Points drawn evenly from the scan: its own vertices may lie anyhow."""
ALIGNED_POINTS = 6_000
"""Most points of the scan's face that the alignment uses."""
POOR_FIT_MM = 6.0
"""Median distance above which the scan is not of this head, not in this unit, or lies in a wrong place."""
MOST_RESIZING = 0.3
"""Logarithm of the factor beyond which an alignment has found another size than that of a head."""
COVERED_MM = 10.0
"""Distance from the scan beyond which a predicted point has no counterpart there."""
LEAST_COVERED = 0.9
"""Share of the predicted face, or head, that should have one."""
ASTRAY_COVERED = 0.5
"""Share of the head below which the scan lies in a wrong place, if half of it is off the head, too."""
MUCH_BETTER = 0.5
"""Ratio of head errors, with the size fitted and without, or with another tip of the nose, below which it makes most of
them."""
DOUBTED_RESIZING = 0.06
"""Logarithm of the factor beyond which a size is doubted: one that was guessed from a face is as uncertain."""


@dataclass(frozen=True)
class ScaleAligned:
    """Scores after an alignment that may also scale the prediction, for heads whose millimetres are uncertain."""

    scale: float
    """Factor on the prediction's size."""
    face_mm: float
    """Mean of both directions on the face."""
    head_mm: float


@dataclass(frozen=True)
class ScanScores:
    """Scores of a head against a scan."""

    rigid: RigidScores
    """Scores that keep the size; `pred_to_world` leads to the scan's world, in millimetres."""
    scale_aligned: ScaleAligned | None
    """The same once the size is fitted too, not a score of the head as it is; None where no size fits."""
    nose_tip: tuple[float, float, float]
    """Tip of the nose that the face was taken round, in the head's world in mm."""
    covered_face: float
    """Share of the predicted face that the scan covers, 0 to 1."""
    covered_head: float
    """Share of the whole prediction that it covers."""
    warnings: tuple[str, ...]

    @property
    def is_doubtful(self) -> bool:
        """Whether the face may lie round something else than the tip of the nose, or the scan ends in it."""
        return self.rigid.head.gt_to_pred.median_mm > POOR_FIT_MM or self.covered_face < LEAST_COVERED


def score_with_likely_nose(
    mesh: trimesh.Trimesh, scan: trimesh.Trimesh, nose_tips: Float[np.ndarray, "tips 3"], frame: SceneFrame
) -> ScanScores:
    """Scores with the likeliest tip of the nose, or with one by which the scan fits the head much better.

    A chin may fit as well, and the face would then lie round it.

    Args:
        nose_tips: likely tips of the nose of `mesh`, the likeliest first; the other arguments are those of
            `score_against_scan`.

    Raises:
        InputError: the scan has no surface where the head is, with any of them.
    """
    found, errors = [], []
    for nose_tip in nose_tips:
        try:
            found.append(score_against_scan(mesh, scan, nose_tip, frame))
        except InputError as error:
            errors.append(error)
        if len(found) == 1 and not found[0].is_doubtful:
            break
    if not found:
        raise errors[0]
    much_better = [other for other in found[1:] if _median_mm(other) < MUCH_BETTER * _median_mm(found[0])]
    return min(much_better, key=lambda other: other.is_doubtful, default=found[0])


def _median_mm(scores: ScanScores) -> float:
    return scores.rigid.head.gt_to_pred.median_mm


def score_against_scan(
    mesh: trimesh.Trimesh, scan: trimesh.Trimesh, nose_tip: Float[np.ndarray, " 3"], frame: SceneFrame
) -> ScanScores:
    """Align a scan to a head and score the head.

    Args:
        mesh: the head in world mm.
        scan: in mm, in any world; only what then lies in the head's unit ball counts.
        nose_tip: tip of the nose of `mesh`.
        frame: unit frame of the head.

    Raises:
        InputError: the scan has no surface where the head is.
    """
    truth, head = Surface(scan), Surface(mesh)
    near = np.linalg.norm(mesh.vertices - nose_tip, axis=1) <= FACE_RADIUS_MM
    to_scan = align_from_anywhere(mesh.vertices.view(np.ndarray)[near], scan, truth)
    points = _spread_points(scan)
    there = trimesh.transform_points(points, np.linalg.inv(to_scan))
    face = np.linalg.norm(there - nose_tip, axis=1) <= FACE_RADIUS_MM
    inside = np.linalg.norm(frame.to_unit(there), axis=1) <= 1.0
    if not face.any():
        raise InputError("--scan has no surface near the head's face: is it a scan of this head, and in this unit?")
    aligned_on = there[face][:: -(-int(face.sum()) // ALIGNED_POINTS)]
    refined = align_rigidly(aligned_on, head)
    scan_to_pred = refined @ np.linalg.inv(to_scan)
    rigid = _scores(mesh, head, truth, points[inside], scan_to_pred, nose_tip)
    grown = align_by_similarity(trimesh.transform_points(aligned_on, refined), head)
    scaled = _scale_aligned(mesh, truth, points[inside], grown @ scan_to_pred, nose_tip)
    covered = rigid.pred_to_gt_mm <= COVERED_MM
    shares = float(covered[near].mean()), float(covered.mean())
    return ScanScores(rigid, scaled, tuple(nose_tip.tolist()), *shares, _warnings(rigid, scaled, *shares))


def _spread_points(scan: trimesh.Trimesh) -> Float[np.ndarray, "n 3"]:
    return np.asarray(trimesh.sample.sample_surface(scan, SCAN_POINTS, seed=0)[0])


def _scores(
    mesh: trimesh.Trimesh,
    head: Surface,
    truth: Surface,
    points: Float[np.ndarray, "n 3"],
    scan_to_pred: Float[np.ndarray, "4 4"],
    nose_tip: Float[np.ndarray, " 3"],
) -> RigidScores:
    """Both directions once the alignment is known; the face lies round the prediction's tip of the nose."""
    there = trimesh.transform_points(points, scan_to_pred)
    face = np.flatnonzero(np.linalg.norm(there - nose_tip, axis=1) <= FACE_RADIUS_MM)
    tip_on_scan = trimesh.transform_points(nose_tip[None], np.linalg.inv(scan_to_pred))[0]
    if len(face):
        scores = score_aligned(mesh, truth, head.closest(there).distances, face, tip_on_scan, scan_to_pred)
        if scores is not None:
            return scores
    raise InputError("--scan has no surface near the head's face: is it a scan of this head, and in this unit?")


def _scale_aligned(
    mesh: trimesh.Trimesh,
    truth: Surface,
    points: Float[np.ndarray, "n 3"],
    scan_to_pred: Float[np.ndarray, "4 4"],
    nose_tip: Float[np.ndarray, " 3"],
) -> ScaleAligned | None:
    """Scores of the prediction shrunk by the factor that a similarity enlarges the scan by; None for no head's size."""
    enlarged = float(np.cbrt(np.linalg.det(scan_to_pred[:3, :3])))
    if abs(np.log(enlarged)) > MOST_RESIZING:
        return None
    shrunk = trimesh.Trimesh(mesh.vertices / enlarged, mesh.faces, process=False)
    rigid = scan_to_pred.copy()
    rigid[:3] /= enlarged
    scores = _scores(shrunk, Surface(shrunk), truth, points, rigid, nose_tip / enlarged)
    return ScaleAligned(1.0 / enlarged, scores.face.mean_mm, scores.head.mean_mm)


def _warnings(
    rigid: RigidScores, scaled: ScaleAligned | None, covered_face: float, covered_head: float
) -> tuple[str, ...]:
    """Reasons to doubt the alignment, the size, or what a number is of."""
    found = []
    median = rigid.face.gt_to_pred.median_mm
    if median > POOR_FIT_MM:
        found.append(
            f"The scan does not fit: half of its face lies more than {median:.1f} mm from the head; is it a scan of "
            "this head and little else, and is --unit right?"
        )
    far = min(covered_face, covered_head) < LEAST_COVERED or rigid.head.gt_to_pred.p90_mm > COVERED_MM
    astray = covered_head < ASTRAY_COVERED and rigid.head.gt_to_pred.median_mm > POOR_FIT_MM
    astray = astray and (scaled is None or scaled.head_mm > POOR_FIT_MM)  # and no size mends it
    by_size = far and scaled is not None and scaled.head_mm < MUCH_BETTER * rigid.head.mean_mm
    if scaled is None:
        found.append(
            "No size like its own fits the head's face to the scan: is it a scan of this head, in this --unit?"
        )
    elif not astray and (by_size or abs(np.log(scaled.scale)) > DOUBTED_RESIZING):
        what = "head" if by_size else "head's face"
        found.append(
            f"The {what} fits better with its size times {scaled.scale:.2f}: is --unit right, and is the head's size "
            "known?"
        )
    if astray:
        found.append(
            f"The scan was probably aligned wrongly, and these scores are void: only {100.0 * covered_head:.0f} % of "
            f"the head lies within {COVERED_MM:.0f} mm of it, and half of it lies over "
            f"{rigid.head.gt_to_pred.median_mm:.0f} mm from the head; in a mesh program, move it onto the head.ply "
            "written here, to a centimetre or two, and evaluate again."
        )
    elif far and not by_size:
        found.append(_on_extent(rigid, covered_face, covered_head))
    return tuple(found)


def _on_extent(rigid: RigidScores, covered_face: float, covered_head: float) -> str:
    """One sentence on parts that only one of scan and head has."""
    head = rigid.head
    if covered_face < LEAST_COVERED:
        return (
            f"The scan covers only {100.0 * covered_face:.0f} % of the face, so distances from the head to the scan "
            "read too high."
        )
    if covered_head < LEAST_COVERED:
        return (
            f"Only {100.0 * covered_head:.0f} % of the head lies within {COVERED_MM:.0f} mm of the scan: where the "
            f"scan ends before the head, read the distance from the scan alone, {head.gt_to_pred.mean_mm:.2f} mm."
        )
    return (
        f"More than a tenth of the scan lies over {COVERED_MM:.0f} mm from the head: where the scan goes on and the "
        f"head ends (shoulders), read the distance to the scan alone, {head.pred_to_gt.mean_mm:.2f} mm."
    )
