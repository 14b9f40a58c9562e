"""Cameras of the photos that show a face, by its landmarks.

The detector gives profiles of bald heads no higher scores than patterns that look a little like a face. So faces of low
score take part, too, and stay where photos that can be relied upon show the same spots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.capture.checks import OTHER_FACE, SAME_HEAD, check_one_head, names, say_unlike
from baseh3d_ns.capture.face_view import FaceView, no_finer
from baseh3d_ns.capture.landmark_cameras import (
    FREE_FOCAL_SD,
    KNOWN_FOCAL_SD,
    MOST_TOGETHER,
    LandmarkSolution,
    solve_with_tracks,
)
from baseh3d_ns.capture.photos import Photo
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.track_residuals import LEAST_SHARE
from baseh3d_ns.pretrained.landmark_model import LandmarkModel
from baseh3d_ns.pretrained.landmarks import RELIABLE, FaceLandmarks

ODD_SHARE = 0.25
"""Share of agreeing spots below which a photo may show another face."""


def cameras_of_faces(
    photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]], model: LandmarkModel
) -> tuple[list[SolvedView], Float[np.ndarray, "l 3"]]:
    """Cameras of the photos that show a face, and the landmarks of the head.

    A face that may not be relied upon counts where other photos show the same spots. A photo that shows hardly any of
    them, as of another person, is left out where all others agree without it, else named in the log.

    Raises:
        InputError: the faces are not of one head.
    """
    lenses = {photo.lens: number for number, photo in enumerate(photos)}
    chosen = _worth_trying(faces)

    def solve(numbers: Sequence[int]) -> LandmarkSolution:
        return solve_with_tracks([views[i] for i in numbers], [_grey(photos[i], views[i]) for i in numbers], model)

    views = {i: no_finer(_face_view(photos[i], faces[i][0], lenses[photos[i].lens]), model.mean_mm) for i in chosen}
    while True:
        solution = solve(chosen)
        fits = np.array([views[i].sure for i in chosen]) | (np.median(solution.residuals, axis=1) <= SAME_HEAD)
        support = np.where(fits, solution.support, 0.0)
        if support.min() >= 1.0:
            break
        # The worst alone: a wrong face spoils the spots of right ones.
        del chosen[int(support.argmin())]
    kept, solution = _without_odd(chosen, solution, solve, [photo.name for photo in photos])
    check_one_head([photos[i].name for i in kept], solution.residuals)
    solved = [SolvedView(photo.name, None, odd=i in chosen and i not in kept) for i, photo in enumerate(photos)]
    for i, camera, error in zip(kept, solution.cameras, solution.errors_px, strict=True):
        whole = photos[i].at_full_size(camera)
        error_px = float(error) * whole.width / camera.width
        solved[i] = replace(solved[i], camera=whole, reprojection_error_px=error_px)
    return solved, solution.head_mm


def _without_odd(
    chosen: list[int],
    solution: LandmarkSolution,
    solve: Callable[[Sequence[int]], LandmarkSolution],
    photo_names: Sequence[str],
) -> tuple[list[int], LandmarkSolution]:
    """The photos, less the few that show hardly a spot of the others, where all others then agree; their solution."""
    odd = np.flatnonzero(solution.agreement < ODD_SHARE)  # NaN, where too little was compared, is not
    if not len(odd):
        say_unlike(solution.agreement)
        return chosen, solution
    left, found = list(chosen), solution
    while (found.agreement < ODD_SHARE).any() and 2 * (len(left) - 1) > len(chosen):
        del left[int(np.nanargmin(found.agreement))]
        found = solve(left)
    if (found.agreement >= LEAST_SHARE).all() and found.support.min() >= 1.0:
        gone = names([photo_names[i] for i in chosen if i not in left])
        CONSOLE.log(f"Left out, as hardly any spot of skin is where the others show it: {gone}, perhaps {OTHER_FACE}.")
        return left, found
    doubted = names([photo_names[chosen[i]] for i in odd])
    CONSOLE.log(f"Little skin is where the others show it in {doubted}: leave out what shows {OTHER_FACE}.")
    return chosen, solution


def _worth_trying(faces: Sequence[Sequence[FaceLandmarks]]) -> list[int]:
    """Photos whose face may be relied upon, and the best others, as many as have a place in one bundle adjustment."""
    there = [i for i, found in enumerate(faces) if found]
    sure = [i for i in there if faces[i][0].score >= RELIABLE]
    others = sorted(set(there).difference(sure), key=lambda i: -faces[i][0].score)
    return sorted([*sure, *others[: max(0, MOST_TOGETHER - len(sure))]])


def _grey(photo: Photo, view: FaceView) -> UInt8[np.ndarray, "h w"]:
    """The photo at the size of its view."""
    grey = cv2.cvtColor(photo.rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (view.width, view.height), interpolation=cv2.INTER_AREA), np.uint8)


def _face_view(photo: Photo, face: FaceLandmarks, lens: int) -> FaceView:
    height, width = photo.rgb.shape[:2]
    focal_sd = FREE_FOCAL_SD if photo.exif_focal_px is None else KNOWN_FOCAL_SD
    focal_px = photo.expected_focal_px / photo.scale
    return FaceView(face.points_px, width, height, focal_px, focal_sd, lens, face.score >= RELIABLE)
