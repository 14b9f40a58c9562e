"""A first look at every photo, small: its silhouette, and the face in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.data.pictures import Trimap
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.faces import POINTS, Face, FaceRays, find_face_in_space
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.own_photos.iris_size import with_iris
from baseh3d_ns.own_photos.mask_turns import turned_like_photos
from baseh3d_ns.own_photos.masks import (
    HOLDS_FACE,
    faces_in_masks,
    find_faces_at_mask,
    given_trimap,
    small_masks,
    unused_masks,
)
from baseh3d_ns.own_photos.photo_sizes import made_small, read_counted
from baseh3d_ns.own_photos.shots import Shot
from baseh3d_ns.own_photos.sure_head import cleared, completed
from baseh3d_ns.pretrained.landmarks import RELIABLE, FaceLandmarks

LONGEST_PX = 1024
"""Longer side of the photos that are looked at."""
HEAD_MIDDLE_MM, HEAD_SIDE_MM = (0.0, 10.0, 5.0), 330.0
"""Middle of the average adult's head with its hair, and the side of a square that holds it, in millimetres."""
FARTHEST_MM = 100.0
"""Distance between the middles of a face as found and as the camera sees the one in space, in millimetres beside it,
beyond which they are two people's: more than landmarks or cameras are off, less than between two heads."""
LEAST_HEAD = 1e-3
"""Fraction of a photo below which a guessed silhouette is no head."""
DISTRUSTED, ENOUGH = 0.5, 3
"""Agreement below which a guessed silhouette is left out, where so many better ones are left."""
LEAST_AGREEMENT = 0.7
"""Agreement of the two networks below which a guessed silhouette is doubted."""


@dataclass(frozen=True, eq=False)
class Look:
    """A shot with its silhouette."""

    silhouette: Silhouette
    """Pixels of the head and those left open."""
    known: Bool[np.ndarray, "h w"] | None
    """False where a guessed silhouette leaves open what is head, at its size; None for a given one."""
    guessed: bool
    """Whether the silhouette is a network's, not the user's."""
    agreement: float
    """Agreement of the two networks on a guessed silhouette; 1 for a given one."""
    face_score: float | None
    """Score of the face that was found in the photo; None where none was, or a bystander's, or none was looked for."""

    @property
    def is_guess(self) -> bool:
        """Whether the silhouette is a network's, of this look or of an earlier capture."""
        return self.guessed or self.silhouette.shot.mask_guessed

    @property
    def head(self) -> Bool[np.ndarray, "h w"]:
        """Pixels of the head, without those left open."""
        mask = self.silhouette.mask
        return mask if self.known is None else mask & self.known


def look_at(
    shots: Sequence[Shot], find_faces: bool, otherwise: Face | None = None, measure_irises: bool = False
) -> tuple[list[Look], Face | None]:
    """Silhouettes of all shots and the face that they show.

    Shots in which no silhouette can be guessed, or none that is sure, are left out, with a sentence in the log.

    Args:
        find_faces: whether the face is wanted even where no silhouette has to be guessed.
        otherwise: the face, by what found the cameras, where the landmarks of no two photos agree on one.
        measure_irises: whether the diameter of the irises is wanted, too.

    Raises:
        InputError: a photo or mask cannot be used, or no photo shows a head.
    """
    bar = progress_bar(shots, desc="Reading the photos", unit="photo")
    photos = [made_small(read_counted(shot.photo_path, shot.as_stored), LONGEST_PX) for shot in bar]
    masks = small_masks(shots, photos)
    shots, masks = turned_like_photos(shots, photos, masks)
    wanted = find_faces or any(mask is None for mask in masks)
    landmarks = _in_masks(shots, masks, _find_landmarks(photos, masks)) if wanted else [None] * len(shots)
    face = _face_in_space(shots, photos, landmarks) or otherwise
    landmarks = [
        found if found is not None and found.score >= RELIABLE and _is_there(shot, photo.shape, found, face) else None
        for shot, photo, found in zip(shots, photos, landmarks, strict=True)
    ]
    looks, without = [], []
    bar = progress_bar(shots, desc="Looking at silhouettes", unit="photo")
    for shot, photo, given, found in zip(bar, photos, masks, landmarks, strict=True):
        mask, known, agreement = (given, None, 1.0) if given is not None else _guessed(shot, photo, found, face)
        if mask.mean() > LEAST_HEAD:
            score = None if found is None else float(found.score)
            looks.append(Look(Silhouette(shot, mask), known, given is None, agreement, score))
        else:
            without.append(shot.name)
    trusted = [look for look in looks if look.agreement >= DISTRUSTED]
    if len(trusted) >= ENOUGH:
        without += [look.silhouette.shot.name for look in looks if look.agreement < DISTRUSTED]
        looks = trusted
    if not looks:
        raise InputError(
            f"no head was found in {shots[0].name} or any other photo: put masks (white = head) into a folder masks"
        )
    _report(looks, without)
    if face is not None and measure_irises:
        face = with_iris(face, shots, photos, landmarks)
    return looks, face


def full_trimap(look: Look) -> Trimap:
    """Silhouette of a look at its photo's own size."""
    shot = look.silhouette.shot
    if look.known is None:
        return given_trimap(shot)
    size, may_be = (shot.lens.width, shot.lens.height), look.silhouette.mask  # less what other photos contradict
    mask, known = (
        np.asarray(Image.fromarray(part.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)) > 0.5
        for part in (look.head, look.known | ~may_be)
    )
    return Trimap(mask, known | mask)


def _guessed(
    shot: Shot, small: UInt8[np.ndarray, "h w 3"], found: FaceLandmarks | None, face: Face | None
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"], float]:
    """Head or left open by the networks, what they decide, and how far they agree on it, at the small photo's size.

    Args:
        found: landmarks in this photo, where there are any.
        face: the face in space, by which the cameras say where the head is in a photo without one.
    """
    from baseh3d_ns.pretrained.silhouettes import guess_silhouette

    around = None if face is None or found is not None else _head_window(shot, small.shape, face)
    guess = guess_silhouette(small, found, around)
    mask, known = guess.mask & guess.known, guess.known
    if face is not None:
        mask, known = cleared(Silhouette(shot, mask), known, face)
        mask, known = completed(Silhouette(shot, mask), known, face)
    return mask | ~known, known, guess.agreement


def _is_there(shot: Shot, shape: tuple[int, ...], found: FaceLandmarks, face: Face | None) -> bool:
    """Whether landmarks in a small photo lie where its camera sees the face in space, so that they are no bystander's;
    true where there is no such face."""
    if face is None:
        return True
    centre = shot.in_camera(face.points.mean(axis=0)[None])
    pixel = shot.lens.project(centre)[0]
    middle = (found.points_px[list(POINTS.values())].mean(axis=0) + 0.5) * shot.lens.width / shape[1] - 0.5
    farthest_px = FARTHEST_MM / face.mm_per_unit * shot.lens.intrinsics[0, 0] / centre[0, 2]
    return bool(np.linalg.norm(middle - pixel) < farthest_px)  # NaN, where the photo does not show it, is not


def _head_window(shot: Shot, shape: tuple[int, ...], face: Face) -> Any:
    """Square round the head in a small photo without a face, by the face in others; None where it is not seen."""
    from baseh3d_ns.pretrained.networks import Crop

    centre = shot.in_camera(face.from_average(np.array([HEAD_MIDDLE_MM])))
    pixel = shot.lens.project(centre)[0]
    if not np.isfinite(pixel).all():
        return None
    scale = shape[1] / shot.lens.width
    side_px = HEAD_SIDE_MM / face.mm_per_unit * shot.lens.intrinsics[0, 0] / centre[0, 2] * scale
    right, down, _ = shot.rotation @ face.rotation[1]
    return Crop((pixel + 0.5) * scale - 0.5, float(side_px), float(np.degrees(np.arctan2(right, -down))))


def _find_landmarks(
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]], masks: Sequence[Bool[np.ndarray, "_ _"] | None]
) -> Sequence[FaceLandmarks | None]:
    """Landmarks of the face in each mask, else of the first that `find_faces` has.

    None where there is no face, or the networks are missing.
    """
    try:
        bar = progress_bar(zip(photos, masks, strict=True), total=len(photos), desc="Looking for faces", unit="photo")
        return [_chosen(find_faces_at_mask(photo, mask), mask) for photo, mask in bar]
    except InputError as error:
        CONSOLE.log(f"Faces are not looked for: {error}")
        return [None] * len(photos)


def _in_masks(
    shots: Sequence[Shot], masks: Sequence[Bool[np.ndarray, "_ _"] | None], found: Sequence[FaceLandmarks | None]
) -> list[FaceLandmarks | None]:
    """The faces that `faces_in_masks` keeps."""
    inside = faces_in_masks([shot.name for shot in shots], masks, [[] if one is None else [one] for one in found])
    return [faces[0] if faces else None for faces in inside]


def _chosen(faces: Sequence[FaceLandmarks], mask: Bool[np.ndarray, "h w"] | None) -> FaceLandmarks | None:
    chosen = next((face for face in faces if mask is not None and face.share_in(mask) > HOLDS_FACE), None)
    return chosen or next(iter(faces), None)


def _face_in_space(
    shots: Sequence[Shot],
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    landmarks: Sequence[FaceLandmarks | None],
) -> Face | None:
    """The face that landmarks which can be relied upon agree on, else all landmarks: profiles may lie near enough."""
    numbered = enumerate(zip(shots, photos, landmarks, strict=True))
    there = [(_rays(i, shot, photo, found), found.score) for i, (shot, photo, found) in numbered if found is not None]
    reliable = find_face_in_space([rays for rays, score in there if score >= RELIABLE])
    return reliable or find_face_in_space([rays for rays, _ in there])


def _rays(number: int, shot: Shot, small: UInt8[np.ndarray, "h w 3"], landmarks: FaceLandmarks) -> FaceRays:
    """Rays through the landmarks in a small photo."""
    height, width = small.shape[:2]
    scale = np.array([shot.lens.width / width, shot.lens.height / height])
    pixels = (landmarks.points_px[list(POINTS.values())] + 0.5) * scale - 0.5
    return FaceRays(number, shot.centre, shot.directions(pixels))


def _report(looks: list[Look], without: list[str]) -> None:
    guessed = sum(look.guessed for look in looks)
    if guessed:
        CONSOLE.log(
            f"Silhouettes of {guessed} of {len(looks)} photos are guessed by two networks: check them in the "
            "capture.png that `baseh3d capture` draws."
        )
    unused = unused_masks(look.silhouette.shot.photo_path for look in looks) if guessed == len(looks) else None
    if unused is not None:
        name = looks[0].silhouette.shot.photo_path.stem
        CONSOLE.log(f"{unused} holds no mask with the name of a photo, such as {name}.png.")
    if without:
        CONSOLE.log(
            f"{len(without)} photos are left out, no head or no sure silhouette was found: {', '.join(without[:10])}."
        )
    doubtful = [look for look in looks if look.agreement < LEAST_AGREEMENT]
    if doubtful:
        named = ", ".join(f"{look.silhouette.shot.name} ({look.agreement:.2f})" for look in doubtful[:10])
        CONSOLE.log(f"Silhouettes that two networks disagree on: {named}.")
