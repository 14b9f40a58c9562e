"""Diameter of the irises of a face in space: nearly the same for everyone, children too, as opposed to faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.faces import Face
from baseh3d_ns.own_photos.shots import Shot
from baseh3d_ns.pretrained.irises import iris_diameters_px
from baseh3d_ns.pretrained.landmarks import RELIABLE, FaceLandmarks

MOST_AWAY_DEG = 20.0
"""Angle between where a face looks and where the camera stands, up to which irises are measured: beyond, they look
narrow."""


@dataclass(frozen=True, eq=False)
class SeenFace:
    """A face in a photo whose camera is known."""

    photo: UInt8[np.ndarray, "h w 3"]
    landmarks: FaceLandmarks
    """In pixels of `photo`."""
    eyes: Float[np.ndarray, "2 3"]
    """Middles of the subject's right and left eye, in some world."""
    ahead: Float[np.ndarray, " 3"]
    """Unit direction in which the face looks."""
    centre: Float[np.ndarray, " 3"]
    """Camera centre."""
    axis: Float[np.ndarray, " 3"]
    """Unit direction in which the camera looks."""
    focal_px: float
    """Focal length in pixels of `photo`."""

    @property
    def is_from_ahead(self) -> bool:
        """Whether irises that look ahead are seen nearly round, on a face that may be relied upon."""
        away = self.centre - self.eyes.mean(axis=0)
        cosine = float(away @ self.ahead) / float(np.linalg.norm(away))
        return self.landmarks.score >= RELIABLE and cosine > float(np.cos(np.radians(MOST_AWAY_DEG)))

    def diameters(self) -> Float[np.ndarray, " 2"]:
        """Diameters of the irises in the unit of the world; NaN where an eye shows none."""
        depths = (self.eyes - self.centre) @ self.axis
        return iris_diameters_px(self.photo, self.landmarks) * depths / self.focal_px


def seen_by(shot: Shot, photo: UInt8[np.ndarray, "h w 3"], landmarks: FaceLandmarks, face: Face) -> SeenFace:
    """The face in space as a shot shows it, whose photo may have been made smaller."""
    focal_px = shot.lens.intrinsics[0, 0] * photo.shape[1] / shot.lens.width
    return SeenFace(photo, landmarks, face.eyes, face.rotation[2], shot.centre, shot.rotation[2], float(focal_px))


def with_iris(
    face: Face,
    shots: Sequence[Shot],
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    landmarks: Sequence[FaceLandmarks | None],
) -> Face:
    """The face with the diameter of its irises, as the shots show them, whose photos may have been made smaller."""
    there = zip(shots, photos, landmarks, strict=True)
    seen = [seen_by(shot, photo, found, face) for shot, photo, found in there if found is not None]
    return replace(face, iris=iris_diameter(seen))


def iris_diameter(faces: Iterable[SeenFace]) -> float | None:
    """Median diameter of the irises that the photos from ahead show, in the unit of the world; None where none does, or
    where the network is missing."""
    try:
        measured = [face.diameters() for face in faces if face.is_from_ahead]
    except InputError as error:
        CONSOLE.log(f"Irises are not measured: {error}")
        return None
    found = np.concatenate([np.empty(0), *measured])
    found = found[np.isfinite(found)]
    return float(np.median(found)) if len(found) else None
