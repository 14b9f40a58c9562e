"""Masks that come with photos: which file belongs to which photo, and whether it shows the head."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from baseh3d_ns.data.pictures import SUFFIXES, UNDECIDED, Trimap, check_not_inverted, has_cutout
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.photo_sizes import read_counted_mask
from baseh3d_ns.own_photos.shots import Shot
from baseh3d_ns.pretrained.landmarks import RELIABLE, FaceLandmarks, find_faces

FOLDERS = ("masks", "mask")
"""Names of folders that masks are looked for in."""
PHOTO_FOLDERS = ("image", "photo", "input", "frame", "rgb")
"""Beginnings of the names of folders of photos that masks lie beside; another folder may be another person."""
LEVELS = 3
"""Folders above a photo, its own among them, that may hold the folder of masks; more where the folder of photos is
higher."""
MARGIN = 0.2
"""Width of what is looked at round a mask, in its longer sides."""
MOSTLY_GREY = 0.15
"""Grey pixels, as a ratio to those of the head, from which on a mask is more than soft at its edge: the blurred edges
of thumbnails hold as much, those of photos a tenth of it."""
HOLDS_FACE = 0.5
"""Share of a face's landmarks inside a mask from which it holds the face; hands and hair may hide some."""


def find_mask(photo: Path) -> Path | None:
    """The file with the user's mask of a photo: `mask_file`, else the photo itself where its alpha is one, else None.

    Raises:
        InputError: the photo is not an image, or cut off.
    """
    return mask_file(photo) or (photo if has_cutout(photo) else None)


def mask_file(photo: Path) -> Path | None:
    """The picture with the mask of a photo, which has its name with any suffix, with a suffix more, or with `_mask`.

    It lies in a folder masks beside the photo, or beside the folder of photos and then in the same folders below it.
    """
    stems = {_composed(stem) for stem in (photo.name, photo.stem, f"{photo.stem}_mask")}
    for folder in _mask_folders(photo):
        found = [mask for mask in _pictures(folder) if _composed(mask.stem) in stems]
        if found:
            return found[0]
    return None


def unused_masks(photos: Iterable[Path]) -> Path | None:
    """A folder of pictures that `mask_file` looks into for one of the photos; None where there is none."""
    folders = dict.fromkeys(folder for photo in photos for folder in _mask_folders(photo))
    return next(filter(_pictures, folders), None)


def _pictures(folder: Path) -> list[Path]:
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in inside if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]


def _composed(name: str) -> str:
    """A name with its accents as one character each: Macs write them as two."""
    return unicodedata.normalize("NFC", name)


def _mask_folders(photo: Path) -> Iterator[Path]:
    photo = Path(os.path.abspath(photo))  # a model or a file of cameras may name it by way of folders beside it
    of_photos = (n for n, folder in enumerate(photo.parents) if folder.name.lower().startswith(PHOTO_FOLDERS))
    for base in photo.parents[: max(LEVELS, next(of_photos, 0) + 2)]:
        below = photo.parent.relative_to(base)
        for name in FOLDERS:
            yield base / name / below
            if below.parts and below.parts[0].lower().startswith(PHOTO_FOLDERS):
                yield base / name / Path(*below.parts[1:])


def given_trimap(shot: Shot) -> Trimap:
    """The mask that comes with a shot.

    Raises:
        InputError: it cannot be read, has another size than its photo, or is inverted.
    """
    path = shot.mask_path
    assert path is not None, "only shots with masks are asked for one"
    size = shot.lens.width, shot.lens.height
    trimap = read_counted_mask(path, shot.photo_path, shot.as_stored, size, shot.mask_as_stored)
    check_not_inverted(path, trimap.mask)
    return trimap


def small_masks(
    shots: Sequence[Shot], photos: Sequence[UInt8[np.ndarray, "_ _ 3"]]
) -> list[Bool[np.ndarray, "_ _"] | None]:
    """Pixels of the head, or left open, by the masks that come with shots, at the sizes of their small photos.

    Masks with much grey that is decided by a threshold are named in a sentence.

    Raises:
        InputError: see `given_trimap`.
    """
    small: list[Bool[np.ndarray, "_ _"] | None] = []
    grey = []
    for shot, photo in zip(shots, photos, strict=True):
        if shot.mask_path is None:
            small.append(None)
            continue
        trimap = given_trimap(shot)
        mask = Image.fromarray((trimap.mask | ~trimap.known).astype(np.float32))
        small.append(np.asarray(mask.resize((photo.shape[1], photo.shape[0]), Image.Resampling.BOX)) > 0.5)
        if trimap.grey > MOSTLY_GREY:
            grey.append(shot.mask_path.name)
    if grey:
        CONSOLE.log(
            f"Masks with much grey, whose brighter half counts as head: {', '.join(grey[:10])}; save them black and "
            f"white, with {UNDECIDED} and no other grey, as .png, for what is to be left open."
        )
    return small


def find_faces_at_mask(photo: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"] | None) -> list[FaceLandmarks]:
    """Faces of a photo, in the order of `find_faces`; looked for once more round the mask where it holds none of them.

    Raises:
        InputError: the networks are not here and cannot be fetched.
    """
    faces = find_faces(photo)
    if mask is None or not mask.any() or not faces or any(face.share_in(mask) > HOLDS_FACE for face in faces):
        return faces
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    margin = round(MARGIN * max(np.ptp(rows), np.ptp(columns)))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    part = photo[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
    found = find_faces(np.ascontiguousarray(part))
    return [*faces, *(replace(face, points_px=face.points_px + np.array([left, top])) for face in found)]


def faces_in_masks(
    names: Sequence[str],
    masks: Sequence[Bool[np.ndarray, "_ _"] | None],
    faces: Sequence[Sequence[FaceLandmarks]],
) -> list[list[FaceLandmarks]]:
    """The faces of every photo less those outside its mask, which are other people's, with a sentence.

    Args:
        names: names of the photos.
        masks: at the size of the photos that the faces were found in; None where no mask came with the photo.
        faces: the faces found in every photo, in the order of `find_faces`.

    Raises:
        InputError: most masks hold none of the faces in their photos, so it is the masks that are wrong.
    """
    pairs = list(zip(masks, faces, strict=True))
    masked = [mask is not None and any(face.score >= RELIABLE for face in found) for mask, found in pairs]
    inside = [[face for face in found if mask is None or face.share_in(mask) > HOLDS_FACE] for mask, found in pairs]
    outside = [name for name, has, kept in zip(names, masked, inside, strict=True) if has and not kept]
    if 2 * len(outside) > sum(masked):
        raise InputError(
            f"the mask of {outside[0]} leaves out the face in it: make the mask again, white = head, as large as the "
            "photo and turned as it"
        )
    if outside:
        CONSOLE.log(f"Faces outside the masks of these photos are taken for other people's: {', '.join(outside[:10])}.")
    return inside
