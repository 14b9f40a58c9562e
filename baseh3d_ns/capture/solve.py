"""Cameras of photos of one head, however many there are.

Nine photos that overlap, or more: structure from motion, by everything they show; by the head alone where that fails,
as before backgrounds that differ between photos or move with the camera, and as a second opinion where many photos show
no face. Fewer: cameras from the landmarks and from tracks across the face, then from silhouettes and tracks across the
head for photos that show no face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.bounds import Positive
from baseh3d_ns.cameras import Pinhole, centred_intrinsics
from baseh3d_ns.capture.checks import check_apart, check_faces, check_one_person, say_odd
from baseh3d_ns.capture.face_agreement import (
    FEWEST_FOR_MOTION,
    SURELY_AGREEING,
    MotionTry,
    landmarks_from_ahead,
    say_way,
)
from baseh3d_ns.capture.face_cameras import cameras_of_faces
from baseh3d_ns.capture.face_size import average_scale, scale_by_face, scale_by_pupils
from baseh3d_ns.capture.photos import Photo, resized, with_likely_focals
from baseh3d_ns.capture.solved import SolvedView, scaled
from baseh3d_ns.capture.structure_from_motion import MotionConfig, solve_motion
from baseh3d_ns.capture.turned_views import KnownView, TurnedView, chain, shows_head
from baseh3d_ns.errors import InputError
from baseh3d_ns.extras import require_extra
from baseh3d_ns.own_photos.masks import faces_in_masks, find_faces_at_mask
from baseh3d_ns.own_photos.metric_scale import MetricScale
from baseh3d_ns.pretrained.landmark_model import LandmarkModel, load_landmark_model
from baseh3d_ns.pretrained.landmarks import FaceLandmarks
from baseh3d_ns.pretrained.model_files import MODELS, OPTIONAL, model_file
from baseh3d_ns.pretrained.silhouettes import guess_silhouette

MOTION, LANDMARKS = "structure from motion", "landmarks"
"""The two ways."""


@dataclass
class CameraConfig:
    """Settings of the search for cameras."""

    motion: MotionConfig
    """Settings of the structure from motion."""
    pupils_mm: Positive | None = None
    """Distance between the pupils in millimetres, for the scale; None for an average adult's face and irises."""


@dataclass(frozen=True, eq=False)
class FittedFace:
    """Face of cameras that stand in the head frame, in millimetres."""

    landmarks_mm: Float[np.ndarray, "l 3"]
    scale: MetricScale
    """Source and uncertainty of the millimetres, which are the world's unit."""


@dataclass(frozen=True, eq=False)
class SolvedCameras:
    """Cameras of all photos."""

    views: tuple[SolvedView, ...]
    """In the order of the photos."""
    way: str
    """`MOTION` or `LANDMARKS`."""
    face: FittedFace | None
    """None after structure from motion, whose world has any pose and unit."""


def check_tools(count: int, needs_networks: bool) -> None:
    """Raise `InputError` where what finds the cameras of so many photos is not installed, before any long work starts.

    Args:
        count: number of photos.
        needs_networks: whether faces or silhouettes are looked for, however many photos there are.
    """
    if count >= FEWEST_FOR_MOTION:
        require_extra("capture")
    if count < FEWEST_FOR_MOTION or needs_networks:
        for name in MODELS:
            if name not in OPTIONAL:
                model_file(name)


def solve_cameras(photos: Sequence[Photo], config: CameraConfig) -> SolvedCameras:
    """Poses, focal lengths and distortion of all photos of one head, as far as they can be found.

    Raises:
        InputError: no photo shows a face, one shows two people, the photos show different people, or all of them were
            taken from one spot.
    """
    faces: Sequence[Sequence[FaceLandmarks]] | None = None
    photos = with_likely_focals(photos)
    if len(photos) >= FEWEST_FOR_MOTION:
        faces = _faces_if_known(photos)
        if faces is not None:
            check_one_person(photos, faces)
        views, photos, faces = _by_motion(photos, faces, config.motion)
        if views is not None:
            say_odd([view.name for view in views if view.odd])
            return SolvedCameras(tuple(views), MOTION, None)
    return _by_landmarks(photos, faces or _faces(photos), config.pupils_mm)


def _by_motion(
    photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]] | None, config: MotionConfig
) -> tuple[list[SolvedView] | None, Sequence[Photo], Sequence[Sequence[FaceLandmarks]] | None]:
    """Cameras by all that the photos show, or by the heads alone where these are better; None where neither do.

    Returns:
        cameras, photos with the silhouettes and faces that were looked for meanwhile.
    """
    found: list[MotionTry] = []
    for in_masks in (True,) if config.in_masks_only else (False, True):
        if in_masks:
            try:
                faces = faces or _faces(photos)
                photos = with_masks(photos, faces)
            except InputError as error:
                if not any(one.kept for one in found):
                    raise
                CONSOLE.log(f"Structure from motion of the heads alone is not tried: {error}")
                break
        what = f"{len(photos)} photos, their heads alone" if in_masks else f"{len(photos)} photos"
        with CONSOLE.status(f"Structure from motion of {what} ..."):
            views = solve_motion(photos, replace(config, in_masks_only=in_masks))
        ahead = landmarks_from_ahead(photos, faces) if faces else [None] * len(photos)
        one = MotionTry.of(views, ahead)
        found.append(one)
        if one.vouched_for or (one.sure and config.ordered):  # a film's frames are matched with their neighbours
            break
        if one.meeting < SURELY_AGREEING:
            CONSOLE.log(f"{one.meeting:.0%} of the faces stand in one place by cameras from structure from motion.")
        elif one.sure and not in_masks:
            CONSOLE.log(f"No face vouches for {1.0 - one.vouched:.0%} of the cameras: the heads alone must agree.")
    best = found[0] if len(found) == 1 else found[0].or_heads(found[1], ahead)
    say_way(found, best)
    return best.views if best.kept else None, photos, faces


def _by_landmarks(
    photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]], pupils_mm: float | None
) -> SolvedCameras:
    """Cameras in the head frame: of the photos with a face, then of those chained to them, then the scale."""
    model = load_landmark_model()
    check_faces(photos, faces)
    views, head_mm = cameras_of_faces(photos, faces, model)
    if any(view.camera is None for view in views):
        views = _with_turned(with_masks(photos, faces), views, head_mm, model)
    if pupils_mm is None:
        scale = scale_by_face(head_mm, model, photos, faces, views)
    else:
        scale = scale_by_pupils(head_mm, pupils_mm)
    views = [view.scaled(scale.mm_per_unit) for view in views]
    solved = [view for view in views if view.camera is not None]
    check_apart([view.name for view in solved], [view.camera for view in solved if view.camera is not None])
    face = FittedFace(scale.mm_per_unit * head_mm, replace(scale, mm_per_unit=1.0))
    return SolvedCameras(tuple(views), LANDMARKS, face)


def _faces(photos: Sequence[Photo]) -> list[list[FaceLandmarks]]:
    """Faces of every photo, in the order of `find_faces`; where a photo has a mask, those inside."""
    bar = progress_bar(photos, desc="Looking for faces", unit="photo")
    found = [find_faces_at_mask(photo.rgb, photo.mask) for photo in bar]
    return faces_in_masks([photo.name for photo in photos], [photo.mask for photo in photos], found)


def _faces_if_known(photos: Sequence[Photo]) -> list[list[FaceLandmarks]] | None:
    """Faces of every photo; None where the networks are missing, which cameras of structure from motion do without."""
    try:
        return _faces(photos)
    except InputError as error:
        CONSOLE.log(f"Cameras are not held against faces: {error}")
        return None


def with_masks(photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]]) -> list[Photo]:
    """The photos, with a guessed silhouette where they have none."""
    bar = progress_bar(photos, desc="Guessing silhouettes", unit="photo")
    return [
        photo
        if photo.mask is not None
        else replace(photo, mask=guess_silhouette(photo.rgb, found[0] if found else None).mask)
        for photo, found in zip(bar, faces, strict=True)
    ]


def _with_turned(
    photos: Sequence[Photo], views: Sequence[SolvedView], head_mm: Float[np.ndarray, "l 3"], model: LandmarkModel
) -> list[SolvedView]:
    """The views, with cameras for photos that show no face but a mask with a head in it."""
    masked = [i for i, photo in enumerate(photos) if photo.mask is not None and shows_head(photo.mask)]
    known = [i for i in masked if views[i].camera is not None]
    turned = [i for i in masked if views[i].camera is None and not views[i].odd]
    if not known or not turned:
        return list(views)
    size = average_scale(head_mm, model)
    grey = {i: cv2.cvtColor(photos[i].rgb, cv2.COLOR_RGB2GRAY) for i in masked}
    rows = []
    for i in known:
        camera, mask = views[i].scaled(size).camera, photos[i].mask
        assert camera is not None and mask is not None
        rows.append(KnownView(grey[i], mask, resized(camera, grey[i].shape[1], grey[i].shape[0])))
    similar = [(photos[i], row.camera) for i, row in zip(known, rows, strict=True)]
    others = [
        TurnedView(grey[i], mask, camera_like(photos[i], similar))
        for i in turned
        if (mask := photos[i].mask) is not None
    ]
    filled = list(views)
    for i, found in zip(turned, chain(rows, others, size * head_mm), strict=True):
        if found is not None:
            whole = photos[i].at_full_size(scaled(found.camera, 1.0 / size))
            filled[i] = replace(views[i], camera=whole, reprojection_error_px=found.error_px * photos[i].scale)
    return filled


def camera_like(photo: Photo, known: Sequence[tuple[Photo, Pinhole]]) -> Pinhole:
    """Camera of `photo.rgb` at the first known place, with the focal length that is likely by those known.

    Args:
        photo: a photo whose camera is not known.
        known: photos, and the cameras of their `rgb`. Those of the same lens say how far the expected focal length is
            off, else those with EXIF for a photo with EXIF, those without for one without; else it is believed.
    """
    height, width = photo.rgb.shape[:2]
    ratios = [(other, camera.intrinsics[0, 0] * other.scale / other.expected_focal_px) for other, camera in known]
    same_lens = [ratio for other, ratio in ratios if other.lens == photo.lens]
    alike = [ratio for other, ratio in ratios if (other.exif_focal_px is None) == (photo.exif_focal_px is None)]
    factor = float(np.median(same_lens or alike or [1.0]))
    intrinsics = centred_intrinsics(factor * photo.expected_focal_px / photo.scale, width, height)
    return replace(known[0][1], intrinsics=intrinsics, width=width, height=height)
