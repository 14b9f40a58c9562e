"""Picture of a head beside its photos: the photo, the head from its camera, and where the silhouettes differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from baseh3d_ns.errors import readable
from baseh3d_ns.evaluation.photo_scores import RenderedView

MOST_ROWS = 5
MISSING, EXTRA = (0.9, 0.1, 0.1), (0.1, 0.3, 1.0)
"""Colours of pixels that only the mask, and only the render, counts as head."""
TINT = 0.75


def photo_picture(path: Path, views: Sequence[RenderedView], title: str) -> None:
    """Write a PNG: one row for each of at most `MOST_ROWS` of the views, evenly chosen.

    Args:
        path: the file, replaced if it exists.
        views: photos with their renders.
        title: the scores, in words.
    """
    chosen = [views[round(index)] for index in np.linspace(0, len(views) - 1, min(len(views), MOST_ROWS))]
    figure = Figure(figsize=(9.5, 3.1 * len(chosen) + 1.0), layout="constrained")
    axes = figure.subplots(len(chosen), 3, squeeze=False)
    for row, view in zip(axes, chosen, strict=True):
        for axis, image in zip(row, [view.photo.cpu(), view.rgb.cpu(), silhouettes(view)], strict=True):
            axis.imshow(np.asarray(image))
            axis.set_axis_off()
        scores = view.scores
        part = "held out" if scores.held_out else "trained on"
        row[0].set_title(f"{readable(scores.photo)} ({part})", fontsize=9, parse_math=False)
        row[1].set_title(f"render: PSNR {scores.psnr_db:.1f} dB, SSIM {scores.ssim:.2f}", fontsize=9)
        row[2].set_title(f"silhouette: IoU {scores.mask_iou:.3f}", fontsize=9)
    keys = [Patch(color=MISSING, label="only in the mask"), Patch(color=EXTRA, label="only in the render")]
    figure.legend(handles=keys, loc="outside lower right", ncols=2, fontsize=9)
    figure.suptitle(readable(title), fontsize=11, parse_math=False)
    figure.savefig(path, dpi=110, format="png")


def silhouettes(view: RenderedView) -> Float[np.ndarray, "h w 3"]:
    """The photo, tinted where mask and render disagree, and fainter outside both."""
    mask, hit = view.mask[..., 0].cpu().numpy() > 0.5, view.hit[..., 0].cpu().numpy() > 0.5
    image = view.photo.cpu().numpy().astype(float)
    for part, colour in ((mask & ~hit, MISSING), (hit & ~mask, EXTRA)):
        image[part] = (1.0 - TINT) * image[part] + TINT * np.array(colour)
    image[~mask & ~hit] = 0.5 + 0.5 * image[~mask & ~hit]
    return image
