"""Checks of photos before, and of cameras after they are solved: one sentence each that names the photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.photos import Photo
from baseh3d_ns.errors import InputError
from baseh3d_ns.pretrained.landmarks import RELIABLE, FaceLandmarks

SECOND_FACE = 0.5
"""Size of a second face that counts as a person, as a fraction of the first's."""
SAME_HEAD = 3.0
"""Median residual of the landmarks, in standard deviations, above which they are not of one head."""
ONE_SPOT_DEG = 3.0
"""Largest angle between directions to the cameras below which they stand on one spot, in degrees."""
OTHER_SHAPE = 0.02
"""Relative difference in shape (longer by shorter side) from which a photo may be cropped."""
LITTLE_SHARE = 0.5
"""Share of the spots compared between photos that agree, of most photos, below which their cameras are doubted."""
MOST_NAMED = 5
"""Photos that a sentence names at most."""
OTHER_FACE = "another person, another expression, or a mirrored face (as some front cameras save it)"
"""Content of a photo that does not fit the others."""
ONE_PERSON = "lay a mask of one of them, under the photo's name, into a folder masks beside the photos"
"""Remedy where two people are seen."""


def check_faces(photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]]) -> None:
    """Raise `InputError` where no photo shows a face, or one shows two people.

    Args:
        photos: all photos.
        faces: the faces found in each, in the order of `find_faces`.
    """
    crowded = _with_two_people(photos, faces)
    if crowded:
        raise InputError(f"{crowded[0]} shows two people: {ONE_PERSON}, or leave it out")
    if not any(face.score >= RELIABLE for found in faces for face in found[:1]):
        raise InputError(
            f"no face was found in {names([photo.name for photo in photos])}: add a photo from the front, in focus and "
            "in even light"
        )


def check_one_person(photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]]) -> None:
    """Raise `InputError` where half of the photos with a face, or more, show two people; log which do, where fewer do.

    Cameras of many photos, which all of the picture tells, stand a few such photos.

    Args:
        photos: all photos.
        faces: the faces found in each, in the order of `find_faces`.
    """
    crowded = _with_two_people(photos, faces)
    with_face = sum(any(face.score >= RELIABLE for face in found) for found in faces)
    if crowded and 2 * len(crowded) >= with_face:
        raise InputError(f"two people are seen in {names(crowded)}: {ONE_PERSON}, or take photos of one person alone")
    if crowded:
        CONSOLE.log(f"Two people are seen in {names(crowded)}: {ONE_PERSON}, or leave such photos out.")


def _with_two_people(photos: Sequence[Photo], faces: Sequence[Sequence[FaceLandmarks]]) -> list[str]:
    """Names of the photos with a second face that is about as large as the first."""
    sure = [[face.size_px for face in found if face.score >= RELIABLE] for found in faces]
    return [
        photo.name
        for photo, sizes_px in zip(photos, sure, strict=True)
        if len(sizes_px) > 1 and sizes_px[1] > SECOND_FACE * sizes_px[0]
    ]


def say_cropped(photos: Sequence[Photo]) -> None:
    """Log that photos were cropped, where some were."""
    cropped = [photo for photo in photos if photo.cropped]
    if cropped:
        first = cropped[0]
        CONSOLE.log(
            f"Photos that look cropped: {len(cropped)}, the first of them {first.name} ({first.width} x {first.height} "
            "pixels); cropped photos lose what is known of their lens, so pass uncropped ones."
        )
    shapes = np.array([max(photo.width, photo.height) / min(photo.width, photo.height) for photo in photos])
    unlike = np.abs(shapes / np.median(shapes) - 1.0) > OTHER_SHAPE
    odd = [photo.name for photo, other in zip(photos, unlike, strict=True) if other and photo.exif_focal_px is None]
    if odd and 2 * unlike.sum() < len(photos) and not cropped:
        CONSOLE.log(
            f"Photos of another shape than the others: {names(odd)}; if they were cropped, pass uncropped ones, since "
            "their cameras would be off by some degrees."
        )


def say_odd(photo_names: Sequence[str]) -> None:
    """Log which photos structure from motion left out, where it did."""
    if photo_names:
        CONSOLE.log(
            f"Left out, as little of what they show is where the others show it: {names(photo_names)}. Such photos "
            f"stand too far from the others, are blurred, or show {OTHER_FACE}."
        )


def check_one_head(photo_names: Sequence[str], residuals: Float[np.ndarray, "v l"]) -> None:
    """Raise `InputError` where the landmarks of the photos do not fit one head.

    Args:
        residuals: of every photo with a face, in standard deviations.
    """
    middle = np.median(residuals, axis=1)
    if (middle > SAME_HEAD).any():
        odd = photo_names[int(middle.argmax())]
        raise InputError(
            f"the faces in {names(photo_names)} do not fit one head, {odd} least of all: leave out photos of other "
            "people, mirrored ones (some front cameras save those), and those with another expression"
        )


def say_unlike(agreement: Float[np.ndarray, " v"]) -> None:
    """Log that hardly any photo shows the skin of the others where it should be, where that is so.

    A wrong photo of three turns all of their cameras, so that none of them stands out.

    Args:
        agreement: share of the spots compared that agree, of every photo; NaN where too few were compared.
    """
    known = agreement[np.isfinite(agreement)]
    if len(known) and np.median(known) < LITTLE_SHARE:
        CONSOLE.log(
            f"Only {np.median(known):.0%} of the skin is where the other photos show it: the cameras may be off by "
            f"several degrees. Take sharp photos, and leave out any of {OTHER_FACE}."
        )


def check_apart(photo_names: Sequence[str], cameras: Sequence[Pinhole]) -> None:
    """Raise `InputError` where several cameras, in the head frame, all look from one direction."""
    if len(cameras) < 2:
        return
    towards = np.stack([camera.centre_mm / np.linalg.norm(camera.centre_mm) for camera in cameras])
    widest = float(np.degrees(np.arccos(np.clip(towards @ towards.T, -1.0, 1.0).min())))
    if widest < ONE_SPOT_DEG:
        raise InputError(
            f"{names(photo_names)} all look at the head from one spot (within {widest:.1f} degrees), from where no "
            "depth can be seen: walk round the head and take photos from the left and the right"
        )


def names(all_names: Sequence[str]) -> str:
    """The first names, comma separated."""
    return ", ".join(all_names[:MOST_NAMED]) + (" ..." if len(all_names) > MOST_NAMED else "")
