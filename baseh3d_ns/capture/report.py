"""Findings of a capture in every photo as a table, and advice for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from baseh3d_ns.capture.folder import SHEET
from baseh3d_ns.capture.video import MOST_FRAMES
from baseh3d_ns.own_photos.looks import LEAST_AGREEMENT
from baseh3d_ns.own_photos.metric_scale import BY_FACE, BY_FACE_AND_IRISES

BLURRED = 0.25
"""Sharpness, as a fraction of the median photo's, below which a photo is blurred."""
WIDE_GAP_DEG = 65.0
"""Angle between neighbouring cameras in front of the head from which the head between them is not seen well."""
FRONT_DEG = 75.0
"""Azimuths up to this, to both sides, that a face wants photos from."""
TALL = 1.25
"""Height above the ears, in the median of the others, from which a silhouette holds more than the head."""
MANY_LOST = 0.25
"""Share of a film's frames without the head from which it is worth cutting."""
FEW = 3
"""Photos below which the shape is mostly the prior's."""


@dataclass(frozen=True)
class PhotoReport:
    """One photo."""

    name: str
    kept: bool
    """Whether its silhouette is where its camera sees the head."""
    sharpness: float
    """Variance of the Laplacian; comparable between photos of one capture."""
    guessed: bool
    """Whether its silhouette is the networks', of this capture or an earlier one, not the user's."""
    agreement: float
    """Intersection over union of the two networks; 1 for a mask that was there."""
    cut_off: tuple[str, ...]
    """Sides of the photo that the silhouette touches."""
    face_score: float | None
    """Confidence in the face's landmarks, 0 to 1; None where no face was found."""
    reprojection_error_px: float | None
    """Reprojection error in pixels, by structure from motion the median, by landmarks the mean; None where the
    cameras were given."""
    rise_mm: float | None = None
    """Height of the silhouette's top above the ears in millimetres; None where it is not known."""


def table(photos: Sequence[PhotoReport]) -> str:
    """A line for every photo, under the names of the columns."""
    sharpest = max((photo.sharpness for photo in photos), default=1.0) or 1.0
    width = max(8, *(len(photo.name) for photo in photos))
    lines = [f"{'photo':<{width}}  used    sharp  mask          face  error px"]
    for photo in photos:
        agreement = f" {photo.agreement:.2f}" if photo.agreement < 1.0 else ""
        mask = f"guessed{agreement}" if photo.guessed else "given"
        face = "-" if photo.face_score is None else f"{photo.face_score:.2f}"
        error = "-" if photo.reprojection_error_px is None else f"{photo.reprojection_error_px:.2f}"
        used = "yes" if photo.kept else "NO"
        lines.append(
            f"{photo.name:<{width}}  {used:<6}  {photo.sharpness / sharpest:5.2f}  {mask:<12}  {face:>4}  {error:>8}"
        )
    return "\n".join(lines)


def advice(
    photos: Sequence[PhotoReport],
    lost: Sequence[str],
    centres_mm: Float[np.ndarray, "n 3"],
    scale_source: str,
    of_film: bool = False,
) -> list[str]:
    """Sentences on what would make the capture better, the most important first.

    Args:
        photos: photos that show a head.
        lost: names of the others, and of those without a camera.
        centres_mm: camera centres of those used, in upright axes (+y up, +z ahead) about the head.
        scale_source: source of the scale, in words.
        of_film: whether the photos are frames of a film.
    """
    said = []
    if scale_source in (BY_FACE, BY_FACE_AND_IRISES):
        said.append(
            "Nobody measured this head, and the error of its size will be the largest of all: measure the distance "
            "between the pupils and pass it as --pupils-mm."
        )
    left_out = [*lost, *(photo.name for photo in photos if not photo.kept)]
    if left_out:
        count = "1 photo is" if len(left_out) == 1 else f"{len(left_out)} photos are"
        said.append(f"{count} left out, without a camera or a silhouette of the head: {', '.join(left_out[:10])}.")
    if of_film and len(lost) > MANY_LOST * (len(photos) + len(lost)):
        said.append(
            f"Of a film, {MOST_FRAMES} frames are taken at most: cut away what does not show the head, so that none of "
            "them is spent on it."
        )
    median = float(np.median([photo.sharpness for photo in photos]))
    blurred = [photo.name for photo in photos if photo.sharpness < BLURRED * median]
    if blurred:
        said.append(f"Take these again, they are blurred: {', '.join(blurred[:10])}.")
    doubtful = [photo.name for photo in photos if photo.agreement < LEAST_AGREEMENT]
    if doubtful:
        said.append(f"Look at these silhouettes, two networks disagree on them: {', '.join(doubtful[:10])}.")
    tall = _tall(photos)
    if tall:
        said.append(
            f"Look at these silhouettes, they rise far above those of the other photos: {', '.join(tall[:10])} (see "
            f"{SHEET}): where something behind the head was taken for head, put its mask into a folder masks."
        )
    return said + _cut_off(photos) + _missing_sides(centres_mm)


def _tall(photos: Sequence[PhotoReport]) -> list[str]:
    """Names of the photos whose guessed silhouettes rise far above the others' median, of those within their photos."""
    whole = [photo for photo in photos if not set(photo.cut_off) - {"bottom"}]
    rises = {photo.name: photo.rise_mm for photo in whole if photo.rise_mm is not None}

    def others(name: str) -> float:
        return float(np.median([rise for other, rise in rises.items() if other != name] or [np.inf]))

    guessed = [photo.name for photo in whole if photo.guessed and photo.name in rises]
    return [name for name in guessed if rises[name] > TALL * others(name)]


def _cut_off(photos: Sequence[PhotoReport]) -> list[str]:
    """Sentences on silhouettes that leave their photos, other than at the neck: guessed ones may be wrong there."""
    cut = [photo for photo in photos if set(photo.cut_off) - {"bottom"}]
    given, guessed = ([photo.name for photo in cut if photo.guessed == which] for which in (False, True))
    said = []
    if given:
        said.append(f"The head is cut off in {', '.join(given[:10])}: step back, hair and chin belong into the photo.")
    if guessed:
        said.append(
            f"Silhouettes reach the border in {', '.join(guessed[:10])} (see {SHEET}): step back if the head is cut "
            "off there; if something behind it was taken for head, put its mask into a folder masks."
        )
    return said


def _missing_sides(centres_mm: Float[np.ndarray, "n 3"]) -> list[str]:
    azimuths = np.degrees(np.arctan2(centres_mm[:, 0], centres_mm[:, 2]))
    said = []
    if len(azimuths) < FEW:
        said.append(
            f"So few photos ({len(azimuths)}) leave most of the shape to the prior: take at least three, better eight."
        )
    seen = np.sort(azimuths[np.abs(azimuths) <= FRONT_DEG + WIDE_GAP_DEG / 2.0])
    edges = np.concatenate([[-FRONT_DEG - WIDE_GAP_DEG / 2.0], seen, [FRONT_DEG + WIDE_GAP_DEG / 2.0]])
    for left, right in zip(edges, edges[1:], strict=False):
        if right - left > WIDE_GAP_DEG and len(azimuths) > 1:
            middle = float(np.clip((left + right) / 2.0, -FRONT_DEG, FRONT_DEG))
            side = "the front" if abs(middle) < 15.0 else f"{abs(middle):.0f} degrees on the person's "
            said.append(
                f"Take two more photos from {side}{'' if abs(middle) < 15.0 else 'left' if middle > 0 else 'right'}."
            )
    if not (np.abs(azimuths) > 120.0).any():
        said.append("No photo shows the back: there the shape is the prior's guess.")
    return said
