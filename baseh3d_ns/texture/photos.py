"""Photos as a texture takes colours from them: their cameras as refined, their exposure undone, split into octaves."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from baseh3d_ns.evaluation.posed_photos import PosedPhotos

BLURS_MM = (8.0, 2.0)
"""Standard deviations, on the head, of the Gaussians that part the octaves of a photo, from coarse to fine."""
LEAST_WEIGHT = 1e-3
"""Share of a blur's weight that must lie within the silhouette."""


class TexturePhotos(PosedPhotos):
    """Photos of a head, split into octaves."""

    @torch.no_grad()
    def octaves(self, view: int) -> Float[Tensor, "octaves 3 h w"]:
        """sRGB colours of a photo, from its coarsest octave to its finest; their sum is the photo without its exposure.

        Blurs are normalised within the silhouette, so that no background bleeds into the head.
        """
        rgb = torch.from_numpy(self.dataset.photo(view).copy()).float() / 255.0
        if self.corrections is not None:
            views = torch.tensor([view])
            black, white = (self.corrections.colours(torch.full((1, 3), level), views) for level in (0.0, 1.0))
            rgb = (rgb - black) / (white - black)
        photo, inside = rgb.numpy(), self.inside(view)
        pixels_per_mm = self.pixels_per_mm(view)
        blurred = [_blur(photo, inside, sigma_mm * pixels_per_mm) for sigma_mm in BLURS_MM] + [photo]
        parts = [blurred[0], *(fine - coarse for coarse, fine in zip(blurred, blurred[1:], strict=False))]
        return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)


def sample(picture: Float[Tensor, "c h w"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n c"]:
    """Bilinear samples of a picture at columns and rows; 0 outside of it."""
    grid = 2.0 * pixels / pixels.new_tensor([picture.shape[2], picture.shape[1]]) - 1.0
    return grid_sample(picture[None], grid[None, None], align_corners=False)[0, :, 0].T


def _blur(
    photo: Float[np.ndarray, "h w 3"], inside: Float[np.ndarray, "h w"], sigma_px: float
) -> Float[np.ndarray, "h w 3"]:
    """Gaussian blur of a photo by its pixels within a mask; meaningless far from it."""
    weight = cv2.GaussianBlur(inside, (0, 0), sigma_px)
    total = cv2.GaussianBlur(photo * inside[..., None], (0, 0), sigma_px)
    return total / np.maximum(weight, LEAST_WEIGHT)[..., None]
