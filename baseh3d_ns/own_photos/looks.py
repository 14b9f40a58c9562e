"""A first look at every photo, small: its silhouette, and the face in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from baseh3d_ns.data.pictures import has_cutout
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.faces import POINTS, FaceRays
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.own_photos.photo_sizes import read_counted, read_counted_mask
from baseh3d_ns.own_photos.shots import Shot

LONGEST_PX = 1024
"""Longer side of the photos that are looked at."""
LEAST_SCORE = 0.5
"""Score from which a face's landmarks may be relied upon."""
LEAST_HEAD = 1e-3
"""Fraction of a photo below which a guessed silhouette is no head."""
LEAST_AGREEMENT = 0.8
"""Agreement of the two networks below which a guessed silhouette is doubted."""


@dataclass(frozen=True, eq=False)
class Look:
    """A shot with what was found in it."""

    silhouette: Silhouette
    guessed: bool
    """Whether the silhouette is a network's, not the user's."""
    face: FaceRays | None


def look_at(shots: Sequence[Shot], find_faces: bool) -> list[Look]:
    """Silhouettes of all shots and, where wanted, the faces in them.

    Shots in which no silhouette can be guessed are left out, with a sentence in the log.

    Raises:
        InputError: a photo or mask cannot be used, or no photo shows a head.
    """
    from tqdm import tqdm

    looks, without, doubtful = [], [], []
    faces_missing: str | None = None
    for number, shot in enumerate(tqdm(shots, desc="Looking at the photos", unit="photo", delay=2.0, leave=False)):
        photo = read_counted(shot.photo_path, shot.as_stored)
        small = _small(photo)
        mask, agreement = _silhouette(shot, small)
        if agreement < LEAST_AGREEMENT:
            doubtful.append(f"{shot.name} ({agreement:.2f})")
        if not mask.mean() > LEAST_HEAD:
            without.append(shot.name)
            continue
        face = None
        if find_faces and faces_missing is None:
            try:
                face = _face(number, shot, small)
            except InputError as error:
                faces_missing = str(error)
        looks.append(Look(Silhouette(shot, mask), not _has_mask(shot), face))
    if not looks:
        raise InputError(f"no head was found in {shots[0].name} or any other photo: give masks (mask_path)")
    _report(looks, without, doubtful, faces_missing)
    return looks


def full_mask(look: Look) -> Bool[np.ndarray, "h w"]:
    """Silhouette of a look at its photo's own size."""
    shot = look.silhouette.shot
    if not look.guessed:
        return _given_mask(shot)
    size = shot.lens.width, shot.lens.height
    grey = Image.fromarray(look.silhouette.mask.astype(np.float32))
    return np.asarray(grey.resize(size, Image.Resampling.BILINEAR)) > 0.5


def _small(photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "k l 3"]:
    height, width = photo.shape[:2]
    factor = min(1.0, LONGEST_PX / max(width, height))
    size = max(1, round(factor * width)), max(1, round(factor * height))
    return photo if factor == 1.0 else np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))


def _silhouette(shot: Shot, small: UInt8[np.ndarray, "h w 3"]) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Silhouette at the size of the small photo, and how far the networks agree on it (1 where it is given)."""
    if _has_mask(shot):
        mask = Image.fromarray(_given_mask(shot).astype(np.float32))
        return np.asarray(mask.resize((small.shape[1], small.shape[0]), Image.Resampling.BOX)) > 0.5, 1.0
    from baseh3d_ns.pretrained.silhouettes import guess_silhouette

    guess = guess_silhouette(small)
    return guess.mask, guess.agreement


def _has_mask(shot: Shot) -> bool:
    return shot.mask_path is not None or has_cutout(shot.photo_path)


def _given_mask(shot: Shot) -> Bool[np.ndarray, "h w"]:
    """The mask that comes with a shot: a file, or the photo's alpha."""
    path = shot.mask_path or shot.photo_path
    return read_counted_mask(path, shot.photo_path, shot.as_stored, (shot.lens.width, shot.lens.height))


def _face(number: int, shot: Shot, small: UInt8[np.ndarray, "h w 3"]) -> FaceRays | None:
    """Rays through the landmarks of the face in a photo; None where none is found, or none that can be relied upon."""
    from baseh3d_ns.pretrained.landmarks import find_face

    found = find_face(small)
    if found is None or found.score < LEAST_SCORE:
        return None
    height, width = small.shape[:2]
    scale = np.array([shot.lens.width / width, shot.lens.height / height])
    pixels = (found.points_px[list(POINTS.values())] + 0.5) * scale - 0.5
    return FaceRays(number, shot.centre, shot.directions(pixels))


def _report(looks: list[Look], without: list[str], doubtful: list[str], faces_missing: str | None) -> None:
    guessed = sum(look.guessed for look in looks)
    if guessed:
        CONSOLE.log(
            f"{guessed} photos have no mask: silhouettes are guessed by a network; look at them with `baseh3d capture`."
        )
    if without:
        CONSOLE.log(f"No head was found in {len(without)} photos, which are left out: {', '.join(without[:10])}.")
    if doubtful:
        CONSOLE.log(f"Silhouettes that two networks disagree on: {', '.join(doubtful[:10])}.")
    if faces_missing:
        CONSOLE.log(f"Faces are not looked for: {faces_missing}")
