"""Photos and silhouettes of a split, resized in memory."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image
from torch import Tensor

from baseh3d_ns.data.h3ds_scene import read_image, read_mask
from baseh3d_ns.errors import InputError


class HeadDataset(InputDataset):
    """nerfstudio's dataset with the silhouette under its own key `fg_mask` [h, w, 1] (1 = head)."""

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0) -> None:
        if "mask_paths" not in dataparser_outputs.metadata:
            raise InputError("this method needs silhouettes and a metric frame: read the data with `h3ds-data`")
        super().__init__(dataparser_outputs, scale_factor)

    def get_numpy_image(self, image_idx: int) -> UInt8[np.ndarray, "h w 3"]:
        image = read_image(self.image_filenames[image_idx])
        return np.array(Image.fromarray(image).resize(self._size(image_idx), Image.Resampling.BOX))

    def get_metadata(self, data: dict) -> dict[str, Tensor]:
        mask = read_mask(self.metadata["mask_paths"][data["image_idx"]])
        area = Image.fromarray(mask.astype(np.float32)).resize(self._size(data["image_idx"]), Image.Resampling.BOX)
        return {"fg_mask": torch.from_numpy((np.asarray(area) > 0.5).astype(np.float32))[..., None]}

    def _size(self, image_idx: int) -> tuple[int, int]:
        """Width and height of the camera, which images and masks are resized to."""
        return int(self.cameras.width[image_idx]), int(self.cameras.height[image_idx])
