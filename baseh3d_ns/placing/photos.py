"""Small photos that stand upright, as the face detectors want them, with their rays and cameras.

Photos may lie on their side or upside down, some or all: a phone writes what its sensor saw, a capture stand holds its
cameras as they fit. Haar cascades know upright faces only, so each photo is turned by quarter turns before it is looked
at, and its rays and its camera with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.placing.config import FaceMatchConfig
from baseh3d_ns.placing.face_detection import FRONTAL, frontal_face_votes

MIN_UPWARD = 0.5
"""Component of the up direction in the plane of a photo below which the photo is not turned: seen from above, a head
has no upper side."""


@dataclass(frozen=True)
class SmallPhoto:
    """A photo on white, the rays of its pixels and its camera, all in the unit frame."""

    picture: UInt8[np.ndarray, "h w 3"]
    """RGB, white off the head."""
    origins: Float[Tensor, "h w 3"]
    """Origins of the pixels' rays."""
    directions: Float[Tensor, "h w 3"]
    """Unit directions of the rays."""
    pose: Float[Tensor, "3 4"]
    """Camera to unit frame, OpenGL axes (x right, y up, z back)."""

    def turned(self, turns: int) -> SmallPhoto:
        """The same photo by a camera rolled so that the picture turns counter-clockwise by quarter turns."""
        if turns == 0:
            return self
        right, up, back, centre = self.pose.unbind(dim=1)
        for _ in range(turns):
            right, up = -up, right
        return SmallPhoto(
            np.ascontiguousarray(np.rot90(self.picture, turns)),
            torch.rot90(self.origins, turns),
            torch.rot90(self.directions, turns),
            torch.stack([right, up, back, centre], dim=1),
        )


def upright_photos(dataset: HeadDataset, config: FaceMatchConfig) -> list[SmallPhoto]:
    """All photos of a dataset, small, each turned by quarter turns until it stands upright."""
    photos = [small_photo(dataset, view, config.render_size) for view in range(len(dataset))]
    return [photo.turned(turns) for photo, turns in zip(photos, turns_to_upright(photos, config), strict=True)]


def small_photo(dataset: HeadDataset, view: int, size: int) -> SmallPhoto:
    """A photo on white whose longer side has `size` pixels at most, as the dataset has it turned."""
    on_white = np.where(dataset.mask(view)[..., None], dataset.photo(view), 255).astype(np.uint8)
    camera = deepcopy(dataset.cameras[view : view + 1])
    camera.rescale_output_resolution(min(1.0, size / max(on_white.shape)))
    rays = camera.generate_rays(camera_indices=0)
    height, width = rays.origins.shape[:2]
    picture = np.array(Image.fromarray(on_white).resize((width, height), Image.Resampling.BOX))
    return SmallPhoto(picture, rays.origins, rays.directions, dataset.cameras.camera_to_worlds[view])


def turns_to_upright(photos: Sequence[SmallPhoto], config: FaceMatchConfig) -> list[int]:
    """Counter-clockwise quarter turns after which each photo stands upright; no turns where no face says otherwise.

    A face found in one photo says what is up there, and by the cameras in all others. The direction on which most
    detections agree wins: some ears and chins pass for faces, but not from several sides, nor as often.
    """
    votes = [[_votes(photo.turned(turns), config) for turns in range(4)] for photo in photos]
    best, most = [0] * len(photos), config.min_votes - 1
    for photo, counts in zip(photos, votes, strict=True):
        for turns in np.flatnonzero(counts):
            candidate = _turns_that_raise(photos, photo.turned(int(turns)).pose[:, 1])
            agreeing = sum(per_turn[found] for per_turn, found in zip(votes, candidate, strict=True))
            if agreeing > most:
                best, most = candidate, agreeing
    return best


def _turns_that_raise(photos: Sequence[SmallPhoto], up: Float[Tensor, " 3"]) -> list[int]:
    """Quarter turns after which a direction points up in each photo, as nearly as they can make it."""
    upward = np.array([[float(photo.turned(turns).pose[:, 1] @ up) for turns in range(4)] for photo in photos])
    return np.where(upward.max(axis=1) > MIN_UPWARD, upward.argmax(axis=1), 0).tolist()


def _votes(photo: SmallPhoto, config: FaceMatchConfig) -> int:
    """Detections of a face by the most exact cascade, which mistakes the fewest ears for one."""
    return frontal_face_votes(photo.picture, config.min_width, FRONTAL[:1])
