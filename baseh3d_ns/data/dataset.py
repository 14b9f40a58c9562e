"""Photos and silhouettes of a split, resized in memory and decoded once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image
from torch import Tensor

from baseh3d_ns.data.views import METADATA, Picture, PictureSource
from baseh3d_ns.errors import InputError


class HeadDataset(InputDataset):
    """nerfstudio's dataset with two pictures of its own, [h, w, 1] each.

    fg_mask     silhouette, 1 on the head
    known       1 where a pixel says anything; 0 where it was never photographed, or shows what leaves the unit ball
    """

    def __init__(
        self, dataparser_outputs: DataparserOutputs, scale_factor: float | Float[Tensor, "views 1"] = 1.0
    ) -> None:
        metadata = dict(dataparser_outputs.metadata)
        missing = [name for name in METADATA if name not in metadata]
        if missing:
            raise InputError(
                f"this method needs silhouettes and a metric frame, but the dataparser gave no {', '.join(missing)}: "
                "read the data with `h3ds-data`, or your own photos with `head-data`"
            )
        # nerfstudio copies all metadata, and pictures are large.
        self._sources: tuple[PictureSource, ...] = metadata.pop("pictures")
        super().__init__(replace(dataparser_outputs, metadata=metadata))
        scale_cameras(self.cameras, scale_factor)
        self._pictures: dict[int, Picture] = {}

    def picture(self, view: int) -> Picture:
        """Picture of a view at its camera's size; not to be written to."""
        if view not in self._pictures:
            size = int(self.cameras.width[view]), int(self.cameras.height[view])
            self._pictures[view] = resized(self._sources[view].read(), size)
        return self._pictures[view]

    def photo(self, view: int) -> UInt8[np.ndarray, "h w 3"]:
        """RGB photo of a view at its camera's size; not to be written to."""
        return self.picture(view).photo

    def mask(self, view: int) -> Bool[np.ndarray, "h w"]:
        """Silhouette of a view at its camera's size, true on the head; not to be written to."""
        return self.picture(view).mask

    def known(self, view: int) -> Bool[np.ndarray, "h w"]:
        """Pixels of a view, at its camera's size, that say anything; not to be written to."""
        return self.picture(view).known

    def get_numpy_image(self, image_idx: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.photo(image_idx)

    def get_metadata(self, data: dict) -> dict[str, Tensor]:
        picture = self.picture(data["image_idx"])
        parts = {"fg_mask": picture.mask, "known": picture.known}
        return {name: torch.from_numpy(part.astype(np.float32))[..., None] for name, part in parts.items()}


def scale_cameras(cameras: Cameras, factor: float | Float[Tensor, "views 1"]) -> None:
    """Bring cameras to the sizes of whole pixels that `resized` gives their photos.

    nerfstudio's `rescale_output_resolution` rounds the sizes, but not the focal lengths and principal points.
    """
    width, height = ((size * factor).round().clamp(min=1.0).long() for size in (cameras.width, cameras.height))
    across, down = width / cameras.width, height / cameras.height
    cameras.fx, cameras.cx = cameras.fx * across, cameras.cx * across
    cameras.fy, cameras.cy = cameras.fy * down, cameras.cy * down
    cameras.width, cameras.height = width, height


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture of another width and height, every pixel the mean of those it covers; known where all of them are."""
    if picture.mask.shape == size[::-1]:
        return picture
    photo = np.asarray(Image.fromarray(picture.photo).resize(size, Image.Resampling.BOX))
    mask, known = (
        np.asarray(Image.fromarray(part.astype(np.float32)).resize(size, Image.Resampling.BOX))
        for part in (picture.mask, picture.known)
    )
    return Picture(photo, mask > 0.5, known > 1.0 - 1e-4)
