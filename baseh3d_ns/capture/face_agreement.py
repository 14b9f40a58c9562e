"""Whether cameras from structure from motion agree with the faces and silhouettes that their photos show.

Backgrounds and hair that look alike from several sides are matched with one another: the cameras then crowd on one side
of the head, with small reprojection errors. Rays through the landmarks of the face no longer meet then. Photos without
a face may be held by such a background alone: their cameras then see the skull outside of their silhouettes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.photos import Photo, resized
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.structure_from_motion import MOST_REGISTERED
from baseh3d_ns.capture.turned_views import shows_head
from baseh3d_ns.own_photos.faces import POINTS, Face, FaceRays, find_face_in_space
from baseh3d_ns.pretrained.face_region import SKULL_AXES_MM, SKULL_MM, ellipsoid, on_convex_hull
from baseh3d_ns.pretrained.foreground import rough_silhouette
from baseh3d_ns.pretrained.landmarks import FaceLandmarks

FEWEST_FOR_MOTION = 9
"""Photos from which on structure from motion is tried."""
LEAST_REGISTERED = 0.5
"""Share of the photos, and of those with a face from ahead, that it must register to be kept: some cameras by all that
photos show are worth more than all of them by a face."""
SURELY_AGREEING, LEAST_AGREEING = 0.9, 0.7
"""Share of the photos with a face from ahead whose rays meet, or of all that are compared, from which on cameras are
taken at once, or at all."""
LEAST_SKULL = 0.5
"""Share of the skull, as a camera sees it, that its photo's silhouette must hold: networks may lose hair, or a part."""
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
    """Share of those whose faces stand in one place, or of all compared photos whose heads do."""

    @classmethod
    def of(cls, views: list[SolvedView], ahead: Sequence[Float[np.ndarray, "468 2"] | None]) -> MotionTry:
        """Rating by the landmarks in every photo; None where it shows no face from ahead."""
        there = [view.camera is not None for view in views]
        with_face = [one for one, points in zip(there, ahead, strict=True) if points is not None]
        return cls(views, sum(there), float(np.mean(with_face or [True])), share_of_faces_that_meet(views, ahead))

    def less_misplaced(self, photos: Sequence[Photo], ahead: Sequence[Float[np.ndarray, "468 2"] | None]) -> MotionTry:
        """The same try, without the cameras that see the head where their photos' silhouettes do not show it.

        Photos whose faces stand in one place are not compared.

        Args:
            photos: their silhouettes are looked for, roughly, where they have none.
            ahead: landmarks in every photo, as for `of`.

        Raises:
            InputError: the networks for silhouettes are not here and cannot be fetched.
        """
        face, _ = face_in_space(self.views, ahead)
        if face is None:
            return self
        compared = [i for i, view in enumerate(self.views) if view.camera is not None and i not in face.shots]
        bar = progress_bar(compared, desc="Holding cameras against silhouettes", unit="photo")
        misplaced = {i for i in bar if not _shows_skull(self.views[i], photos[i], face)}
        views = [replace(view, camera=None, odd=True) if i in misplaced else view for i, view in enumerate(self.views)]
        agreeing = 1.0 - len(misplaced) / (len(compared) + len(face.shots))
        return replace(MotionTry.of(views, ahead), meeting=min(self.meeting, agreeing))

    @property
    def most(self) -> bool:
        """Whether as many photos have a camera as where all is well."""
        return self.solved >= MOST_REGISTERED * len(self.views)

    @property
    def sure(self) -> bool:
        """Whether no other way has to be tried."""
        return self.most and self.meeting >= SURELY_AGREEING

    @property
    def kept(self) -> bool:
        """Whether the cameras are worth more than those by landmarks."""
        least = max(FEWEST_FOR_MOTION, LEAST_REGISTERED * len(self.views))
        enough = self.solved >= least and self.with_face >= LEAST_REGISTERED
        return (self.most or enough) and self.meeting >= LEAST_AGREEING


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
    face, compared = face_in_space(views, points_px)
    if compared < FEWEST:
        return 1.0
    return 0.0 if face is None else len(face.shots) / compared


def face_in_space(
    views: Sequence[SolvedView], points_px: Sequence[Float[np.ndarray, "468 2"] | None]
) -> tuple[Face | None, int]:
    """The face that most photos agree on, in the world of the cameras, and the number of photos that were compared; no
    face where that is below `FEWEST`. Arguments as for `share_of_faces_that_meet`."""
    rays = [
        _face_rays(number, view, points)
        for number, (view, points) in enumerate(zip(views, points_px, strict=True))
        if view.camera is not None and points is not None
    ]
    return find_face_in_space(rays) if len(rays) >= FEWEST else None, len(rays)


def _shows_skull(view: SolvedView, photo: Photo, face: Face) -> bool:
    """Whether the silhouette in a photo holds the skull behind a face, or shows no head that could be compared."""
    assert view.camera is not None
    mask = photo.mask
    if mask is None:
        up = view.camera.rotation @ face.rotation[1]
        mask = rough_silhouette(photo.rgb, turn_deg=90.0 * round(np.degrees(np.arctan2(up[0], -up[1])) / 90.0))
    return not shows_head(mask) or share_of_skull(face, view.camera, mask) >= LEAST_SKULL


def share_of_skull(face: Face, camera: Pinhole, mask: Bool[np.ndarray, "h w"]) -> float:
    """Share of the skull behind a face, as a camera sees it, that lies in a mask; 0 where it sees none.

    Args:
        face: in the world of the camera.
        camera: of the whole photo; its distortion moves a skull by less than matters here.
        mask: silhouette in the photo, of any size.
    """
    points = face.from_average(ellipsoid(SKULL_MM, SKULL_AXES_MM))
    if ((points - camera.centre_mm) @ camera.rotation[2] <= 0.0).any():
        return 0.0
    seen = on_convex_hull(resized(camera, mask.shape[1], mask.shape[0]).project(points), mask.shape)
    return float(mask[seen].mean()) if seen.any() else 0.0


def _face_rays(number: int, view: SolvedView, points_px: Float[np.ndarray, "468 2"]) -> FaceRays:
    """Rays through the landmarks that are triangulated."""
    camera = view.camera
    assert camera is not None
    chosen = points_px[list(POINTS.values())].astype(float)
    flat = cv2.undistortPoints(chosen[:, None], camera.intrinsics, view.distortion)[:, 0]
    rays = np.column_stack([flat, np.ones(len(flat))]) @ camera.rotation
    return FaceRays(number, camera.centre_mm, rays / np.linalg.norm(rays, axis=1, keepdims=True))
