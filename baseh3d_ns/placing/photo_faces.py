"""Faces in the photos of a dataset, as rays through their landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.masks import find_faces_at_mask
from baseh3d_ns.pretrained.landmark_model import LANDMARKS
from baseh3d_ns.pretrained.landmarks import RELIABLE

GOLDEN = 0.618034
"""Fraction of the views between one that is looked at and the next: so the first few come from all sides."""
LEAST_ON_HEAD = 0.7
"""Fraction of a face's landmarks that must lie in the silhouette: another person's do not."""


@dataclass(frozen=True, eq=False)
class PhotoFaces:
    """Rays through the landmarks of one person's face in some photos, in the unit frame."""

    views: tuple[int, ...]
    """Views that show the face."""
    origins: Float[np.ndarray, "v 3"]
    directions: Float[np.ndarray, "v l 3"]
    """Unit directions."""

    def of(self, chosen: np.ndarray) -> PhotoFaces:
        """The faces in some of the photos, by a mask."""
        views = tuple(view for view, taken in zip(self.views, chosen, strict=True) if taken)
        return PhotoFaces(views, self.origins[chosen], self.directions[chosen])


def find_photo_faces(dataset: HeadDataset, longest_px: int, most: int) -> PhotoFaces:
    """Faces in the photos, until so many are found; none where the networks are missing, with a line in the log.

    Args:
        longest_px: longer side of the photos that are looked at.
        most: number of faces that are enough.
    """
    from baseh3d_ns.bars import progress_bar

    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    order = sorted(range(len(dataset)), key=lambda view: view * GOLDEN % 1.0)
    try:
        for view in progress_bar(order, desc="Looking for faces", unit="photo"):
            points_px = _landmarks(dataset, view, longest_px)
            if points_px is not None:
                found[view] = rays_through(dataset.cameras[view : view + 1], points_px)
            if len(found) == most:
                break
    except InputError as error:
        CONSOLE.log(f"Faces are not looked for: {error}")
    views = tuple(sorted(found))
    origins = np.array([found[view][0] for view in views]).reshape(-1, 3)
    return PhotoFaces(views, origins, np.array([found[view][1] for view in views]).reshape(-1, LANDMARKS, 3))


def _landmarks(dataset: HeadDataset, view: int, longest_px: int) -> Float[np.ndarray, "l 2"] | None:
    """Landmarks (column, row) of the head's face in a photo of the dataset; None where it shows none."""
    photo, mask = dataset.photo(view), dataset.mask(view)
    height, width = mask.shape
    factor = min(1.0, longest_px / max(width, height))
    size = max(1, round(factor * width)), max(1, round(factor * height))
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
    small_mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    for face in find_faces_at_mask(small, small_mask):
        if face.score >= RELIABLE and face.share_in(small_mask) > LEAST_ON_HEAD:
            return (face.points_px + 0.5) * np.array([width / size[0], height / size[1]]) - 0.5
    return None


def rays_through(
    camera: Cameras, points_px: Float[np.ndarray, "l 2"]
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "l 3"]]:
    """Origin and unit directions of the rays of one camera through pixels (column, row; centres at integers)."""
    coords = torch.from_numpy(points_px[:, ::-1] + 0.5).float()
    rays = camera.generate_rays(camera_indices=torch.zeros(len(coords), 1, dtype=torch.long), coords=coords)
    return rays.origins[0].double().numpy(), rays.directions.double().numpy()
