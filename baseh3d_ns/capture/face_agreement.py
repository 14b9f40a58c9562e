"""Whether cameras from structure from motion agree with the faces that their photos show, and with the heads alone.

Backgrounds and hair that look alike from several sides are matched with one another: the cameras then crowd on one side
of the head, with small reprojection errors. Rays through the landmarks of the face no longer meet then. Photos without
a face may be held by such a background alone: their cameras stand elsewhere by the heads alone, without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from scipy.spatial.transform import Rotation

from baseh3d_ns.capture.checks import names
from baseh3d_ns.capture.photos import Photo
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.structure_from_motion import MOST_REGISTERED
from baseh3d_ns.own_photos.faces import POINTS, FaceRays, find_face_in_space
from baseh3d_ns.pretrained.landmarks import FaceLandmarks

FEWEST_FOR_MOTION = 9
"""Photos from which on structure from motion is tried."""
LEAST_REGISTERED = 0.5
"""Share of the photos, and of those with a face from ahead, that it must register to be kept: some cameras by all that
photos show are worth more than all of them by a face."""
SURELY_AGREEING, LEAST_AGREEING = 0.9, 0.7
"""Share of the photos with a face from ahead whose rays meet, from which on cameras are taken at once, or at all. The
first is also the share of the cameras that faces, or else the heads alone, must vouch for."""
SAME_DEG = 10.0
"""Angle between two cameras of a photo up to which they are the same: by the heads alone they are a few degrees off."""
FROM_AHEAD = 0.8
"""Score of faces that are seen from ahead, or nearly."""
FEWEST = 3
"""Such photos from which on a disagreement means anything."""


@dataclass(frozen=True, eq=False)
class MotionTry:
    """Cameras by structure from motion, and what speaks for them."""

    views: list[SolvedView]
    solved: int
    """Number of cameras."""
    with_face: float
    """Share of the photos with a face from ahead that have one."""
    meeting: float
    """Share of those whose faces stand in one place."""
    vouched: float
    """Share of the cameras whose photos show a face from ahead, which vouches for them; 1 where too few do."""

    @classmethod
    def of(cls, views: list[SolvedView], ahead: Sequence[Float[np.ndarray, "468 2"] | None]) -> MotionTry:
        """Rating by the landmarks in every photo; None where it shows no face from ahead."""
        there = [view.camera is not None for view in views]
        with_face = [one for one, points in zip(there, ahead, strict=True) if points is not None]
        faces, solved = sum(with_face), sum(there)
        vouched = faces / solved if faces >= FEWEST else 1.0
        meeting = share_of_faces_that_meet(views, ahead)
        return cls(views, solved, float(np.mean(with_face or [True])), meeting, vouched)

    @property
    def most(self) -> bool:
        """Whether as many photos have a camera as where all is well."""
        return self.solved >= MOST_REGISTERED * len(self.views)

    @property
    def sure(self) -> bool:
        """Whether the faces do not contradict most of the cameras."""
        return self.most and self.meeting >= SURELY_AGREEING

    @property
    def vouched_for(self) -> bool:
        """Whether faces vouch for nearly all cameras."""
        return self.sure and self.vouched >= SURELY_AGREEING

    @property
    def kept(self) -> bool:
        """Whether the cameras are worth more than those by landmarks."""
        least = max(FEWEST_FOR_MOTION, LEAST_REGISTERED * len(self.views))
        enough = self.solved >= least and self.with_face >= LEAST_REGISTERED
        return (self.most or enough) and self.meeting >= LEAST_AGREEING

    def or_heads(self, heads: MotionTry, ahead: Sequence[Float[np.ndarray, "468 2"] | None]) -> MotionTry:
        """The better one of these cameras, by whole photos, which show more, and those by the heads alone, which no
        background misleads.

        Where the faces contradict neither, they are held against each other: whole photos are believed where nearly all
        cameras are the same, and the others are left out.

        Args:
            ahead: landmarks in every photo, as for `of`.
        """
        if not (self.sure and heads.sure):
            return max((self, heads), key=lambda one: (one.kept, one.most, one.meeting, one.solved))
        apart, compared = cameras_apart(self.views, heads.views)
        if compared - len(apart) < SURELY_AGREEING * compared:
            return heads
        left_out = [replace(view, camera=None) if i in apart else view for i, view in enumerate(self.views)]
        return MotionTry.of(left_out, ahead)


def say_way(found: Sequence[MotionTry], best: MotionTry) -> None:
    """Log what the one or two tries of structure from motion came to."""
    whole = found[0]
    if best in found[1:]:
        CONSOLE.log("The cameras are those by the heads alone.")
    elif best is not whole:
        apart = [one.name for one, kept in zip(whole.views, best.views, strict=True) if one.camera and not kept.camera]
        if apart:
            CONSOLE.log(f"Left out, as the heads alone put their cameras elsewhere: {names(apart)}.")
    elif len(found) == 2 and whole.sure:
        why = "their faces do not meet" if found[1].most else "they hold too few photos"
        CONSOLE.log(f"The heads alone do not tell, {why}: look at the axes in every photo on the sheet.")
    if not best.most:
        CONSOLE.log(
            f"Structure from motion connects only {best.solved} of {len(best.views)} photos: it wants photos that "
            "overlap, every 15 degrees or so round the head."
        )


def cameras_apart(views: Sequence[SolvedView], others: Sequence[SolvedView]) -> tuple[set[int], int]:
    """Photos that look another way in the one world than in the other, turned as most photos ask for, and the number of
    photos that have a camera in both."""
    both = [
        (i, one.camera.rotation, other.camera.rotation)
        for i, (one, other) in enumerate(zip(views, others, strict=True))
        if one.camera is not None and other.camera is not None
    ]
    if not both:
        return set(), 0
    turns = Rotation.from_matrix(np.array([other.T @ one for _, one, other in both]))
    same = np.degrees([(turns * turn.inv()).magnitude() for turn in turns]) <= SAME_DEG
    most = same[same.sum(axis=1).argmax()]
    return {i for (i, *_), agrees in zip(both, most, strict=True) if not agrees}, len(both)


def landmarks_from_ahead(
    photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]]
) -> list[Float[np.ndarray, "468 2"] | None]:
    """Landmarks in every whole photo; None where it shows no face, or one whose landmarks may lie anywhere."""
    return [
        photo.scale * (found[0].points_px + 0.5) - 0.5 if found and found[0].score >= FROM_AHEAD else None
        for photo, found in zip(photos, faces, strict=True)
    ]


def share_of_faces_that_meet(
    views: Sequence[SolvedView], points_px: Sequence[Float[np.ndarray, "468 2"] | None]
) -> float:
    """Share of the photos with a face whose faces stand in one place in the world of the cameras; 1 for few photos.

    Args:
        views: photos with the cameras that were found.
        points_px: landmarks of the face in each whole photo; None where it shows none from ahead.
    """
    rays = [
        _face_rays(number, view, points)
        for number, (view, points) in enumerate(zip(views, points_px, strict=True))
        if view.camera is not None and points is not None
    ]
    if len(rays) < FEWEST:
        return 1.0
    face = find_face_in_space(rays)
    return 0.0 if face is None else len(face.shots) / len(rays)


def _face_rays(number: int, view: SolvedView, points_px: Float[np.ndarray, "468 2"]) -> FaceRays:
    """Rays through the landmarks that are triangulated."""
    camera = view.camera
    assert camera is not None
    chosen = points_px[list(POINTS.values())].astype(float)
    flat = cv2.undistortPoints(chosen[:, None], camera.intrinsics, view.distortion)[:, 0]
    rays = np.column_stack([flat, np.ones(len(flat))]) @ camera.rotation
    return FaceRays(number, camera.centre_mm, rays / np.linalg.norm(rays, axis=1, keepdims=True))
