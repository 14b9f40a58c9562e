"""Agreement of a trained head with the photos and masks that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.models.idr import IdrModel
from baseh3d_ns.models.surface_view import BACKGROUND, SurfaceView
from baseh3d_ns.rendering.image_metrics import head_metrics

MOST_VIEWS = 8
"""Views that are compared at most, evenly chosen."""
SIDE_PX = 160
"""Pixels across a compared picture, about: of larger ones every n-th is taken."""


@dataclass(frozen=True)
class Agreement:
    """Means over some training views; neither is an accuracy of the shape."""

    views: int
    mask_iou: float
    """Intersection over union of the silhouettes, 0 to 1."""
    psnr_db: float
    """Peak signal-to-noise ratio of the colours within the mask."""


@torch.no_grad()
def agreement(model: IdrModel, dataset: HeadDataset) -> Agreement:
    """Agreement with the training views, seen by their cameras as refined."""
    model.eval()
    model.update_to_step(model.step)  # pictures may be a few steps old, this is the end
    model.keep_grid_fresh()
    views = np.unique(np.linspace(0, len(dataset) - 1, MOST_VIEWS).round().astype(int))
    scores = [_scores(model, dataset, int(view)) for view in views]
    iou, psnr = (float(np.mean([score[name] for score in scores])) for name in ("mask_iou", "psnr"))
    return Agreement(len(views), iou, psnr)


def _scores(model: IdrModel, dataset: HeadDataset, view: int) -> dict[str, float]:
    """PSNR and IoU of a view."""
    every = max(1, max(dataset.mask(view).shape) // SIDE_PX)
    bundle = dataset.cameras.generate_rays(camera_indices=view, keep_shape=True).to(model.device)
    chosen = [part[::every, ::every] for part in (bundle.origins, bundle.directions)]
    shape = chosen[0].shape[:2]
    origins, directions = (part.reshape(-1, 3) for part in chosen)
    index = torch.full((len(origins),), view, device=model.device)
    if model.views:
        origins, directions = model.views.rays(origins, directions, index)
    seen = SurfaceView.trace(model.field, model.tracer, origins, directions)
    rgb, hit = seen.rgb(), seen.accumulation()
    if model.views:
        rgb = rgb.where(hit < 0.5, model.views.colours(rgb, index).clamp(0.0, 1.0))
    photo, mask, known = (
        torch.from_numpy(part[::every, ::every].astype(np.float32)).to(model.device)
        for part in (dataset.photo(view), dataset.mask(view), dataset.known(view))
    )
    mask, known = (mask * known)[..., None], known[..., None]
    shown = {
        "rgb": rgb.view(*shape, 3).where(known > 0.5, BACKGROUND),
        "accumulation": hit.view(*shape, 1) * known,
    }
    return head_metrics(shown, photo / 255.0, mask, BACKGROUND)
