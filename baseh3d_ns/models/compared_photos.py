"""Grey values that photo consistency compares: as coarse as its patches, without shading where noise is low."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter

from baseh3d_ns.data.dataset import HeadDataset

NOISE_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6.0
"""Difference of two Laplacians: 0 on whatever is linear or quadratic, of standard deviation 1 on white noise of 1."""
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""


def grey_and_mask(dataset: HeadDataset, view: int, size: tuple[int, int]) -> Float[np.ndarray, "2 h w"]:
    """Grey values and known head of a view, in [0, 1], at that width and height."""
    picture = dataset.picture(view)
    grey = Image.fromarray(picture.photo).convert("F")
    mask = Image.fromarray(255.0 * (picture.mask & picture.known).astype(np.float32))
    return np.stack([np.asarray(part.resize(size, Image.Resampling.BILINEAR)) / 255.0 for part in (grey, mask)])


def noise_level(pictures: Float[np.ndarray, "views 2 h w"]) -> float:
    """Standard deviation of the noise of grey values on the head; 0 where no head is seen.

    Source: Immerkaer, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64(2), 1996, with the
    median of the absolute values instead of their mean (Donoho and Johnstone, 1994): few pixels lie on edges.
    """
    deviations = np.concatenate([np.abs(convolve(grey, NOISE_KERNEL))[mask > 0.5] for grey, mask in pictures])
    return float(np.median(deviations)) / NORMAL_MEDIAN if len(deviations) else 0.0


def without_shading(picture: Float[np.ndarray, "2 h w"], sigma_px: float) -> Float[np.ndarray, "2 h w"]:
    """Grey values less their blur on the head, and the known head; a Gaussian of that standard deviation in pixels."""
    grey, mask = picture
    on_head = gaussian_filter(mask, sigma_px)
    blurred = gaussian_filter(grey * mask, sigma_px) / np.maximum(on_head, np.finfo(np.float32).eps)
    return np.stack([(grey - blurred) * (mask > 0.0), mask])
