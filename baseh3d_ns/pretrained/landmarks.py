"""468 points of a face in a photo, by MediaPipe's Face Mesh (Kartynnik et al. 2019), and how far to trust them.

1. A box round the face, from a detector that tries four turns (`face_boxes`).
2. The network on a crop that is centred on the face and level with its eyes; its points give a better crop, until the
   crop settles.
3. The mean over slightly shifted crops. Their scatter, and the network's own flag, are the score: both fail to agree
   on profiles, backs of heads, and whatever merely resembles a face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.special import expit

from baseh3d_ns.pretrained.face_boxes import WINDOWS, face_boxes
from baseh3d_ns.pretrained.networks import Crop, run_network

POINTS = 468
"""Number of landmarks."""
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Corners of the subject's eyes among the landmarks, from the subject's right to left."""
SIZE = 192
"""Width and height of the network's input in pixels."""
CROP_SIDE = 1.5
"""Ratio of the side of a crop to the longer side of the box round the landmarks."""
SETTLED, MOST_PASSES = 0.01, 8
"""Change of a crop, as a fraction of its side, below which it has settled, and when to stop anyway."""
SHIFTS = ((1.0, 0.0), (0.92, 0.0), (1.08, 0.0), (1.0, -7.0), (1.0, 7.0))
"""Factor on the side of the settled crop and turn in degrees, of the crops that the landmarks are the mean over."""
FLAG_MIDDLE, FLAG_WIDTH = 8.0, 3.0
"""Face flag (a logit) at which the score is one half, and its change that matters: near-frontal faces reach 20 to 30,
profiles 0 to 10, where the points begin to miss, everything else stays below."""
SCATTER_SCALE = 0.02
"""Scatter of the landmarks over the shifted crops, as a fraction of the face, that costs most of the score."""
LEAST_SCORE = 0.1
"""Score below which there is no face."""
RELIABLE = 0.5
"""Score from which a face's landmarks may be relied upon."""
HOPELESS_FLAG, HOPEFUL_PASSES = -2.0, 2
"""Flag at which a box is given up, and the number of passes it has to become better."""


@dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """Landmarks of one face."""

    points_px: Float[np.ndarray, "468 2"]
    """(column, row) in the photo as given, pixel centres at integers."""
    depth_px: Float[np.ndarray, " 468"]
    """Depth relative to the face's middle, away from the camera, in pixels of the photo (weak perspective)."""
    score: float
    """In 0..1: above one half the points may be relied upon, profiles and wrong finds lie below."""
    turn_deg: float
    """Turn of the face from upright in the image plane, clockwise as one looks at the photo, in -180..180 degrees."""

    @property
    def size_px(self) -> float:
        """Longer side of the box round the landmarks, level with the eyes."""
        return _crop_round(self.points_px).side_px / CROP_SIDE

    def share_in(self, mask: Bool[np.ndarray, "h w"]) -> float:
        """Share of the landmarks that lie in a mask of the photo."""
        column, row = np.rint(self.points_px).astype(int).T
        in_photo = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
        return float(mask[row[in_photo], column[in_photo]].sum() / len(column))


def find_face(photo: UInt8[np.ndarray, "h w 3"]) -> FaceLandmarks | None:
    """The first of `find_faces`; None where there is none.

    Raises:
        InputError: the networks are not here and cannot be fetched.
    """
    return next(iter(find_faces(photo)), None)


def find_faces(photo: UInt8[np.ndarray, "h w 3"]) -> list[FaceLandmarks]:
    """All faces in a photo, those to be relied upon before others, the largest of both first; small ones are looked for
    only where there is no large one.

    Raises:
        InputError: the networks are not here and cannot be fetched.
    """
    found: list[FaceLandmarks] = []
    for side in WINDOWS:
        for box in face_boxes(photo, side):
            if not any(_is_in(box.crop.centre_px, face) for face in found if face.score > 0.5):
                face = _landmarks_from(photo, box.crop)
                if face is not None and face.score >= LEAST_SCORE:
                    found.append(face)
        if found:
            break
    return sorted(_distinct(found), key=lambda face: (face.score < RELIABLE, -face.size_px))


def _landmarks_from(photo: UInt8[np.ndarray, "h w 3"], box: Crop) -> FaceLandmarks | None:
    """Landmarks that the network settles on when it starts from a box; None where it never takes it for a face."""
    crop = replace(box, side_px=CROP_SIDE * box.side_px)
    for number in range(MOST_PASSES):
        flag, points_px, _ = _run(photo, crop)
        if flag < HOPELESS_FLAG and number >= HOPEFUL_PASSES:
            return None
        before, crop = crop, _crop_round(points_px)
        if _change(before, crop) < SETTLED:
            break
    passes = [_run(photo, shifted) for shifted in _shifted(crop)]
    flag = float(np.mean([flag for flag, _, _ in passes]))
    all_points = np.stack([points_px for _, points_px, _ in passes])
    points_px = all_points.mean(axis=0)
    scatter = np.linalg.norm(all_points - points_px, axis=2).mean() * CROP_SIDE / crop.side_px
    return FaceLandmarks(
        points_px=points_px,
        depth_px=np.mean([depth_px for _, _, depth_px in passes], axis=0),
        score=float(expit((flag - FLAG_MIDDLE) / FLAG_WIDTH) * np.exp(-((scatter / SCATTER_SCALE) ** 2))),
        turn_deg=crop.turn_deg,
    )


def _run(
    photo: UInt8[np.ndarray, "h w 3"], crop: Crop
) -> tuple[float, Float[np.ndarray, "468 2"], Float[np.ndarray, " 468"]]:
    """Face flag (a logit), landmarks and their depths in pixels of the photo, of one pass of the network."""
    flag, points = run_network("face_landmark", crop.sample(photo, SIZE) / 255.0, ("conv2d_31", "conv2d_21"))
    inside = points.reshape(POINTS, 3).astype(float) / SIZE
    return float(flag.item()), crop.to_photo(inside[:, :2]), crop.side_px * inside[:, 2]


def _crop_round(points_px: Float[np.ndarray, "468 2"]) -> Crop:
    """Crop of a face, level with the line through the outer corners of the eyes."""
    across = points_px[LEFT_EYE[1]] - points_px[RIGHT_EYE[0]]
    level = Crop(np.zeros(2), 1.0, float(np.degrees(np.arctan2(across[1], across[0]))))
    along = points_px @ level.axes
    low, high = along.min(axis=0), along.max(axis=0)
    return Crop(level.axes @ (0.5 * (low + high)), CROP_SIDE * float((high - low).max()), level.turn_deg)


def _change(before: Crop, after: Crop) -> float:
    """Largest of shift, change of size and turn (in radians) between two crops, as a fraction of the side."""
    shift = float(np.linalg.norm(after.centre_px - before.centre_px)) / after.side_px
    turn = (after.turn_deg - before.turn_deg + 180.0) % 360.0 - 180.0
    return max(shift, abs(before.side_px / after.side_px - 1.0), abs(float(np.radians(turn))))


def _shifted(crop: Crop) -> Iterator[Crop]:
    for factor, turn_deg in SHIFTS:
        yield Crop(crop.centre_px, factor * crop.side_px, crop.turn_deg + turn_deg)


def _is_in(place_px: Float[np.ndarray, " 2"], face: FaceLandmarks) -> bool:
    """Whether a place lies in a face, away from its edge."""
    return bool(np.linalg.norm(place_px - face.points_px.mean(axis=0)) < 0.5 * face.size_px)


def _distinct(faces: list[FaceLandmarks]) -> list[FaceLandmarks]:
    """The best scored face at every place."""
    kept: list[FaceLandmarks] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_is_in(face.points_px.mean(axis=0), other) for other in kept):
            kept.append(face)
    return kept
