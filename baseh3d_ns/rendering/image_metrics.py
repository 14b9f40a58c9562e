"""Image metrics of a rendered head against a photo, on the head only, since nothing models the background."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def head_metrics(
    outputs: dict[str, Tensor], photo: Float[Tensor, "h w 3"], mask: Float[Tensor, "h w 1"], background: float
) -> dict[str, float]:
    """PSNR in dB over the mask, SSIM with the same background painted on both sides, IoU of the silhouettes."""
    rendered, hit = outputs["rgb"], outputs["accumulation"]
    mse = ((rendered - photo).square() * mask).sum() / (3.0 * mask.sum())
    target = photo * mask + background * (1.0 - mask)
    ssim = structural_similarity_index_measure(
        rendered.permute(2, 0, 1)[None], target.permute(2, 0, 1)[None], data_range=1.0
    )
    assert isinstance(ssim, Tensor)
    intersection, union = torch.minimum(mask, hit).sum(), torch.maximum(mask, hit).sum()
    return {"psnr": float(-10.0 * torch.log10(mse)), "ssim": float(ssim), "mask_iou": float(intersection / union)}


def side_by_side(
    outputs: dict[str, Tensor], photo: Float[Tensor, "h w 3"], mask: Float[Tensor, "h w 1"], background: float
) -> dict[str, Float[Tensor, "h _ 3"]]:
    """The photo with its background painted over beside the rendering, and the picture of the normals."""
    target = photo * mask + background * (1.0 - mask)
    return {"img": torch.cat([target, outputs["rgb"]], dim=1), "normals": outputs["normal"]}
