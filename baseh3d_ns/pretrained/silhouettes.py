"""Silhouette of a head with what is joined to it, guessed from one photo by two networks that know people and things.

1. Both networks, MediaPipe's selfie segmentation (people) and the small U2-Net (whatever stands out, Qin et al. 2020),
   look at the whole photo, and at a window round the face where there is one; upright, as they were trained.
2. The blob at the face (else the largest near the middle) is looked at again in tight windows: both networks err far
   less when the head fills their input.
3. GrabCut (Rother et al. 2004) moves the edge of their mean to where the photo's colours change.
4. Where the networks contradict each other over more than an edge's width, what is head is left open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from baseh3d_ns.pretrained.face_region import face_and_skull, missed_hair
from baseh3d_ns.pretrained.foreground import probabilities
from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RIGHT_EYE, FaceLandmarks
from baseh3d_ns.pretrained.networks import Crop

HEAD_SIDE, HEAD_BACK, HEAD_UP = 1.95, 0.55, 0.05
"""Side of a head's box, and the head's middle behind and above that of its face, in sizes of the face."""
HEAD_REACH, CHIN_BELOW = 0.62, 0.25
"""Distance from a head's middle beyond which nothing belongs to it, and the level below which shoulders may reach
farther out, in sides of its box."""
CHIN = 152
"""Lowest landmark."""
TIGHT_WINDOWS = (1.05, 1.25)
"""Sides of the last windows, as multiples of the longer side of the head's box."""
WORKING_PX = 480
"""Longer side, in pixels of the working copy, of the window round the head or of a photo without one."""
LARGEST_COPY_PX = 3000
"""Longer side of the largest working copy."""
SURE = 0.8
"""Probability from which on GrabCut keeps the networks' word (and below 1 - SURE)."""
EDGE = 0.06
"""Width, in sides of a head's box, up to which GrabCut settles what the networks disagree on."""
GRABCUT_ROUNDS, SEED = 3, 0
"""Rounds of GrabCut, and the seed of its colour clusters: the same photo gives the same silhouette."""
BORDER_PX, BORDER_SHARE = 2, 0.01
"""Depth of a photo's border, and the fraction of a side's length that a silhouette must cover of it to touch it."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """A head in a photo."""

    mask: Bool[np.ndarray, "h w"]
    """The best guess of the head and what is joined to it (neck, shoulders), also where it is not known, at the photo's
    resolution."""
    known: Bool[np.ndarray, "h w"]
    """False where hair may be that both networks have missed, or where they contradict each other."""
    agreement: float
    """Intersection over union of the two networks' own silhouettes, in 0..1: below about 0.7 look at the mask."""


def guess_silhouette(
    photo: UInt8[np.ndarray, "h w 3"], face: FaceLandmarks | None = None, around: Crop | None = None
) -> Silhouette:
    """Silhouette of the head in a photo; empty where neither network sees anything.

    Without face and window, the photo is taken to be upright and the head to be what stands out near its middle.

    Args:
        face: the head's face, which says which way is up and where the head is.
        around: square round the head, upright with it, where other photos tell that; else the face does.

    Raises:
        InputError: the networks are not here and cannot be fetched.
    """
    import cv2

    height, width = photo.shape[:2]
    if around is None and face is not None:
        around = head_window(face)
    scale = _working_scale(photo, around)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    copy = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    middle = (np.array(size) - 1) / 2.0
    if around is not None:
        middle = (around.centre_px + 0.5) * scale - 0.5
        whole = Crop((np.array(size) - 1) / 2.0, float(max(size)), _quarter_turn(around.turn_deg))
        head = Crop(middle, scale * around.side_px, around.turn_deg)
    else:
        whole = Crop(middle, float(max(size)), 0.0)
        people, things = probabilities(copy, whole, [])
        blob = _blob_at(0.5 * (people + things) > 0.5, middle)
        if not blob.any():
            return Silhouette(np.zeros((height, width), bool), np.ones((height, width), bool), 0.0)
        head = _window_round(blob, whole.turn_deg)
    tight = [Crop(head.centre_px, factor * head.side_px, head.turn_deg) for factor in TIGHT_WINDOWS]
    people, things = probabilities(copy, whole, tight)
    mean = 0.5 * (people + things)
    unsure = _wide((people > 0.5) != (things > 0.5), EDGE * head.side_px)
    if around is not None:
        beside = _beside_head(head, mean.shape)
        mean[beside], unsure[beside] = 0.0, False
    hair = np.zeros_like(unsure)
    if face is not None:
        hair = missed_hair(face, scale, mean > 0.5)
        sure = face_and_skull(face, scale, mean.shape)
        mean[sure], unsure[sure] = 1.0, False
    mask = _blob_at(_along_edges(copy, mean), middle)
    agreement = _iou(*(part[_box(mask, 0.1)] > 0.5 for part in (people, things)))
    full, left_open = _resized(mask, width, height), (hair & ~mask) | _touching(unsure, mask)
    return Silhouette(full, ~_resized(left_open, width, height), agreement)


def head_window(face: FaceLandmarks) -> Crop:
    """Square round the head with its hair and neck, level with the eyes, from the face's size and direction."""
    across = face.points_px[LEFT_EYE[1]] - face.points_px[RIGHT_EYE[0]]
    points = np.column_stack([face.points_px, face.depth_px])
    right, left = points[RIGHT_EYE[0]], points[LEFT_EYE[1]]
    down = points[CHIN] - 0.5 * (right + left)
    ahead = np.cross(left - right, down)
    ahead = -ahead / np.linalg.norm(ahead).clip(1e-9)
    level = Crop(np.zeros(2), 1.0, float(np.degrees(np.arctan2(across[1], across[0]))))
    centre_px = face.points_px.mean(axis=0) - face.size_px * (HEAD_BACK * ahead[:2] + HEAD_UP * level.axes[:, 1])
    return Crop(centre_px, HEAD_SIDE * face.size_px, level.turn_deg)


def touches_border(mask: Bool[np.ndarray, "h w"]) -> tuple[str, ...]:
    """Sides of the photo (top, bottom, left, right) that cut off what a silhouette shows."""
    strips = {
        "top": mask[:BORDER_PX].any(axis=0),
        "bottom": mask[-BORDER_PX:].any(axis=0),
        "left": mask[:, :BORDER_PX].any(axis=1),
        "right": mask[:, -BORDER_PX:].any(axis=1),
    }
    return tuple(side for side, strip in strips.items() if strip.mean() > BORDER_SHARE)


def _resized(mask: Bool[np.ndarray, "h w"], width: int, height: int) -> Bool[np.ndarray, "height width"]:
    import cv2

    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)) > 0.5


def _working_scale(photo: UInt8[np.ndarray, "h w 3"], around: Crop | None) -> float:
    """Factor on the photo's size at which the head is worked on; at most 1."""
    longest = max(photo.shape[:2])
    if around is None:
        return min(1.0, WORKING_PX / longest)
    return min(1.0, WORKING_PX / around.side_px, LARGEST_COPY_PX / longest)


def _wide(mask: Bool[np.ndarray, "h w"], width: float) -> Bool[np.ndarray, "h w"]:
    """Parts of a mask in which a disc of a width fits (morphological opening)."""
    import cv2

    across = 2 * round(0.5 * width) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0)


def _touching(parts: Bool[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Connected parts that overlap a mask or lie next to it."""
    from scipy.ndimage import binary_dilation
    from skimage.measure import label

    labels = label(parts, connectivity=1)
    return parts & np.isin(labels, np.unique(labels[binary_dilation(mask)]))


def _beside_head(head: Crop, shape: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """Pixels above the chin's level that are too far from a head's middle to belong to it."""
    rows, columns = np.indices((shape[0], shape[1]))
    across, down = (np.stack([columns, rows], axis=-1) - head.centre_px).transpose(2, 0, 1)
    away = np.hypot(across, down)
    below = head.axes[0, 1] * across + head.axes[1, 1] * down
    return np.asarray((below < CHIN_BELOW * head.side_px) & (away > HEAD_REACH * head.side_px))


def _quarter_turn(turn_deg: float) -> float:
    """The quarter turn nearest to an angle."""
    return 90.0 * round(turn_deg / 90.0)


def _blob_at(mask: Bool[np.ndarray, "h w"], place: Float[np.ndarray, " 2"]) -> Bool[np.ndarray, "h w"]:
    """Connected part of a mask at a place (column, row), without holes: there, else the largest for its distance."""
    from scipy.ndimage import binary_fill_holes
    from skimage.measure import label, regionprops

    labels = label(mask, connectivity=1)
    if labels.max() == 0:
        return mask
    column, row = (int(value) for value in np.clip(place.round(), 0, np.array(mask.shape[::-1]) - 1))
    chosen = int(labels[row, column])
    if chosen == 0:
        reach = float(max(mask.shape))
        regions = regionprops(labels)
        centres = np.array([region.centroid[::-1] for region in regions])
        areas = np.array([region.area for region in regions])
        chosen = regions[int((areas * np.exp(-4.0 * np.linalg.norm(centres - place, axis=1) / reach)).argmax())].label
    return np.asarray(binary_fill_holes(labels == chosen))


def _window_round(blob: Bool[np.ndarray, "h w"], turn_deg: float) -> Crop:
    """Square window that just holds a blob."""
    level = Crop(np.zeros(2), 1.0, turn_deg)
    along = np.argwhere(blob)[:, ::-1] @ level.axes
    low, high = along.min(axis=0), along.max(axis=0)
    return Crop(level.axes @ (0.5 * (low + high)), float((high - low).max() + 1.0), turn_deg)


def _along_edges(copy: UInt8[np.ndarray, "h w 3"], probability: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Silhouette by GrabCut in the neighbourhood of what is probable; colours decide where the networks are unsure."""
    import cv2

    likely = probability > 0.5
    near = _box(likely, 0.2)
    part = probability[near]
    labels = np.where(part > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[part > SURE], labels[part < 1.0 - SURE] = cv2.GC_FGD, cv2.GC_BGD
    if len(np.unique(labels % 2)) == 2:
        head_colours, other_colours = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(SEED)
        picture, no_rectangle = np.ascontiguousarray(copy[near]), (0, 0, 0, 0)
        cv2.grabCut(picture, labels, no_rectangle, other_colours, head_colours, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    likely[near] = _is_head(labels)
    return likely


def _is_head(labels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that GrabCut's labels call foreground, surely or probably: the odd ones."""
    return labels % 2 == 1


def _box(mask: Bool[np.ndarray, "h w"], margin: float) -> tuple[slice, slice]:
    """Rows and columns of a mask's box, larger by a fraction of its longer side; everything for an empty mask."""
    if not mask.any():
        return slice(None), slice(None)
    spans: Iterable[Int[np.ndarray, " n"]] = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    ends = [(int(span[0]), int(span[-1]) + 1) for span in spans]
    more = int(margin * max(last - first for first, last in ends))
    rows, columns = (slice(max(0, first - more), last + more) for first, last in ends)
    return rows, columns


def _iou(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]) -> float:
    union = int((one | other).sum())
    return float((one & other).sum() / union) if union else 0.0
