"""Photos as the capture looks at them: turned as shown, no larger than needed, with their EXIF focal length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.pictures import check_not_inverted, read_photo
from baseh3d_ns.own_photos.lens import resized_intrinsics
from baseh3d_ns.own_photos.photo_sizes import read_counted_mask

LONGER_SIDE = 1600
"""Pixels of the longer side of a photo as the capture looks at it: more cost time and hardly move a camera."""
EXIF_IFD, FOCAL_35MM = 0x8769, 0xA405
"""EXIF block and tag of the focal length on 35 mm film with the same angle of view, in millimetres."""
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of a 35 mm film frame: makers of phones state the equivalent by the diagonal."""
TAKEN_SIZE = 0xA002, 0xA003
"""EXIF tags of the size with which a photo was taken: programs that crop often leave them as they were."""
SENSOR_DIAGONALS = {4 / 3: 5 / 4, 3 / 2: math.hypot(1, 2 / 3), 16 / 9: 5 / 4, 1.0: 5 / 3}
"""Diagonals of whole sensors in longer sides of their photos, by the photos' shapes: whole ones are 4:3 or 3:2, and
phones cut 16:9 and squares from 4:3 themselves."""
SAME_SHAPE = 0.01
"""Relative difference up to which two shapes (longer by shorter side) are the same: sides are rounded."""
USUAL_FOCAL = 1.1
"""Focal length of an unknown camera, in longer sides of its photos: between a phone's main camera (0.7 to 0.8) and its
portrait lens (1.2 to 2)."""
SHARPNESS_SIDE = 800
"""Pixels of the longer side at which sharpness is measured, where no photo is smaller."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as shown, at most `LONGER_SIDE` pixels large."""

    name: str
    """File name, or frame of a video; unique."""
    rgb: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"] | None
    """Silhouette of the head, true inside; None where it is not known."""
    width: int
    """Width of the whole photo in pixels."""
    height: int
    """Height of the whole photo in pixels."""
    exif_focal_px: float | None = None
    """Focal length in pixels of the whole photo by EXIF, its own or that of the only lens known for its size; None
    where there is neither."""
    usual_focal: float = USUAL_FOCAL
    """Focal length to expect without EXIF, in longer sides."""
    cropped: bool = False
    """Whether the photo was cropped, so that EXIF says nothing of its focal length."""

    @property
    def scale(self) -> float:
        """Pixels of the whole photo in one of `rgb`."""
        return max(self.width, self.height) / max(self.rgb.shape[:2])

    @property
    def expected_focal_px(self) -> float:
        """Focal length by EXIF, else a usual one, in pixels of the whole photo."""
        return self.exif_focal_px or self.usual_focal * max(self.width, self.height)

    @property
    def lens(self) -> tuple[int, int, int | None]:
        """Longer and shorter side of `rgb` and focal length by EXIF in its pixels: the same for photos of one lens,
        however held, and whatever their resolution was.

        The focal length is a part of it: all lenses of a phone, and its digital zoom, give photos of the same size.
        """
        focal = None if self.exif_focal_px is None else round(self.exif_focal_px / self.scale)
        return max(self.rgb.shape[:2]), min(self.rgb.shape[:2]), focal

    def at_full_size(self, camera: Pinhole) -> Pinhole:
        """The camera of the whole photo from that of `rgb`."""
        return resized(camera, self.width, self.height)


def load_photo(path: Path, mask_path: Path | None = None) -> Photo:
    """A photo file and its mask.

    Raises:
        InputError: one cannot be read, they are not of the same size, or the mask is inverted.
    """
    whole = read_photo(path)
    height, width = whole.shape[:2]
    mask = None
    if mask_path is not None:
        mask = read_counted_mask(mask_path, path, as_stored=False, size=(width, height)).mask
        check_not_inverted(mask_path, mask)
    focal_px, cropped = _exif_focal_px(path, width, height)
    return replace(small_photo(path.name, whole, mask, focal_px), cropped=cropped)


def small_photo(
    name: str,
    whole: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | None = None,
    exif_focal_px: float | None = None,
) -> Photo:
    """A photo in memory, brought to `LONGER_SIDE`."""
    height, width = whole.shape[:2]
    factor = min(1.0, LONGER_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    rgb = whole if factor == 1.0 else cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    if mask is not None and factor < 1.0:
        mask = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
    return Photo(name, np.ascontiguousarray(rgb), mask, width, height, exif_focal_px)


def with_likely_focals(photos: Sequence[Photo]) -> list[Photo]:
    """The photos; those without EXIF, sent by a messenger perhaps, are likely to be of the lenses that others name.

    A photo gets the focal length by EXIF of those of its size where they are of one lens, else the median angle of view
    of all is what is usual.
    """
    named = [photo for photo in photos if photo.exif_focal_px is not None]
    if not named:
        return list(photos)
    usual = float(np.median([photo.expected_focal_px / max(photo.width, photo.height) for photo in named]))

    def likely(photo: Photo) -> Photo:
        if photo.exif_focal_px is not None:
            return photo
        lenses = {other.lens for other in named if other.lens[:2] == photo.lens[:2]}
        if len(lenses) != 1 or photo.cropped:
            return replace(photo, usual_focal=usual)
        like = next(other for other in named if other.lens in lenses)
        return replace(photo, exif_focal_px=like.expected_focal_px / like.scale * photo.scale)

    return [likely(photo) for photo in photos]


def resized(camera: Pinhole, width: int, height: int) -> Pinhole:
    """The camera of the same picture at another size; pixel centres lie at integers in both."""
    intrinsics = resized_intrinsics(camera.intrinsics, width / camera.width, height / camera.height)
    return replace(camera, intrinsics=intrinsics, width=width, height=height)


def sharpness(rgb: UInt8[np.ndarray, "h w 3"], side_px: int = SHARPNESS_SIDE) -> float:
    """Variance of the Laplacian of the grey picture (Pech-Pacheco et al. 2000).

    Args:
        side_px: longer side at which it is measured; of photos that are compared no larger than the smallest one's.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    factor = side_px / max(grey.shape)
    if factor < 1.0:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _exif_focal_px(path: Path, width: int, height: int) -> tuple[float | None, bool]:
    """Focal length in pixels from the 35 mm equivalent, and whether one is stated of which the photo is but a part.

    The focal length is None in that case, and where the file states none.
    """
    try:
        with Image.open(path) as image:
            tags = image.getexif().get_ifd(EXIF_IFD)
            stated = float(tags.get(FOCAL_35MM, 0.0))
    except Exception:  # damaged EXIF says nothing, the pixels are as good as any
        return None, False
    if not 5.0 <= stated <= 1000.0:
        return None, False
    shape = _shape(width, height)
    diagonal = next((side for known, side in SENSOR_DIAGONALS.items() if _alike(shape, known)), None)
    taken = sorted(size for tag in TAKEN_SIZE if isinstance(size := tags.get(tag), int))
    # A smaller size is nonsense, as some phones write: nothing larger is cut from it.
    was_larger = len(taken) == 2 and taken[0] >= min(width, height) and taken[1] >= max(width, height)
    if not taken and _alike(shape, 1.0):
        diagonal = math.sqrt(2.0)  # not by a phone, which writes the size: a render, whose equivalent is its own
    if diagonal is None or (was_larger and not _alike(shape, _shape(*taken))):
        return None, True
    return stated / FILM_DIAGONAL_MM * diagonal * max(width, height), False


def _shape(width: int, height: int) -> float:
    """Longer by shorter side."""
    return max(width, height) / min(width, height)


def _alike(shape: float, other: float) -> bool:
    return abs(shape / other - 1.0) < SAME_SHAPE
