"""Photos and silhouettes of a split, resized in memory and decoded once."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image
from torch import Tensor

from baseh3d_ns.data.pictures import read_mask, read_photo
from baseh3d_ns.errors import InputError

METADATA = ("frame", "camera_centres", "camera_axes", "mask_paths", "scene_id", "view_indices")
"""Metadata that a dataparser hands over beside nerfstudio's own outputs: `SceneFrame`; centres and optical axes of the
cameras in the unit frame, [views, 3] each; masks; scene; numbers of the views."""


class HeadDataset(InputDataset):
    """nerfstudio's dataset with the silhouette under its own key `fg_mask` [h, w, 1] (1 = head)."""

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0) -> None:
        missing = [name for name in METADATA if name not in dataparser_outputs.metadata]
        if missing:
            raise InputError(
                f"this method needs silhouettes and a metric frame, but the dataparser gave no {', '.join(missing)}: "
                "read the data with `h3ds-data`"
            )
        super().__init__(dataparser_outputs, scale_factor)
        self._photos: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
        self._masks: dict[int, Bool[np.ndarray, "h w"]] = {}

    def photo(self, view: int) -> UInt8[np.ndarray, "h w 3"]:
        """RGB photo of a view at its camera's size; not to be written to."""
        if view not in self._photos:
            photo = Image.fromarray(read_photo(self.image_filenames[view]))
            self._photos[view] = np.asarray(photo.resize(self._size(view), Image.Resampling.BOX))
        return self._photos[view]

    def mask(self, view: int) -> Bool[np.ndarray, "h w"]:
        """Silhouette of a view at its camera's size, true on the head; not to be written to."""
        if view not in self._masks:
            mask = Image.fromarray(read_mask(self.metadata["mask_paths"][view]).astype(np.float32))
            self._masks[view] = np.asarray(mask.resize(self._size(view), Image.Resampling.BOX)) > 0.5
        return self._masks[view]

    def get_numpy_image(self, image_idx: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.photo(image_idx)

    def get_metadata(self, data: dict) -> dict[str, Tensor]:
        return {"fg_mask": torch.from_numpy(self.mask(data["image_idx"]).astype(np.float32))[..., None]}

    def _size(self, view: int) -> tuple[int, int]:
        """Width and height of the camera, which images and masks are resized to."""
        return int(self.cameras.width[view]), int(self.cameras.height[view])
