"""Agreement of a head with photos, where there is no scan: none of it is an accuracy in millimetres.

Held-out photos compare silhouettes and colours with views that the training never saw; training photos only show how
well it did its work. A head can pass both and still be wrong where no photo looks, or in its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.evaluation.camera_corrections import CameraCorrection, camera_corrections, corrections_of
from baseh3d_ns.evaluation.head_photos import HeadPhotos
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.models.photo_consistency import PhotoConfig, Photos
from baseh3d_ns.models.sdf_model import render_rays
from baseh3d_ns.models.surface_view import BACKGROUND
from baseh3d_ns.rendering.image_metrics import head_metrics
from baseh3d_ns.rendering.sdf_grid import GridTracer

GRID_CELLS = 64
"""Cells of the cached SDF grid along an axis of the unit ball's box."""
RAYS = 1 << 15
"""Rays rendered at a time."""
PATCHES = 4096
"""Surface points, at most, whose patches are compared between the training photos."""
PATCH_SPACING_MM = 1.3
"""Distance between two points of a patch."""


@dataclass(frozen=True)
class ViewScores:
    """A photo compared with the head rendered from its camera."""

    view: int
    """Number of the view in its scene."""
    photo: str
    """Name of the file."""
    held_out: bool
    """False for a photo that the head was trained on."""
    mask_iou: float
    """Intersection over union of the silhouettes, 0 to 1."""
    psnr_db: float
    """Peak signal-to-noise ratio of the colours within the mask."""
    ssim: float
    """Structural similarity, the background painted white on both sides."""
    correction: CameraCorrection | None
    """None where cameras were not refined, as for every held-out photo."""


@dataclass(frozen=True)
class MeanScores:
    """Means over some photos."""

    photos: int
    mask_iou: float
    psnr_db: float
    ssim: float

    @classmethod
    def over(cls, views: list[ViewScores]) -> MeanScores | None:
        """Means over these photos; None for none."""
        if not views:
            return None
        columns = ((view.mask_iou, view.psnr_db, view.ssim) for view in views)
        iou, psnr, ssim = (float(np.mean(column)) for column in zip(*columns, strict=True))
        return cls(len(views), iou, psnr, ssim)


@dataclass(frozen=True)
class PhotoConsistency:
    """Likeness of patches of the surface in the training photos that see them."""

    mean_ncc: float
    """Mean normalised cross-correlation over pairs of photos, -1 to 1."""
    pairs: int
    """Number of pairs of a patch's two pictures."""
    seen_twice: float
    """Share of the photographed surface that two photos or more see well, 0 to 1."""
    patch_mm: float
    """Side of a patch."""


@dataclass(frozen=True)
class PhotoScores:
    """All that the photos say."""

    held_out: MeanScores | None
    """None where the head was trained on all photos."""
    training: MeanScores
    photo_consistency: PhotoConsistency | None
    """None where fewer than two photos see a patch."""
    views: tuple[ViewScores, ...]


@dataclass(frozen=True)
class RenderedView:
    """A photo beside the head as its camera sees it."""

    scores: ViewScores
    photo: Float[Tensor, "h w 3"]
    mask: Float[Tensor, "h w 1"]
    """1 on the head, where the photo says anything of it."""
    rgb: Float[Tensor, "h w 3"]
    hit: Float[Tensor, "h w 1"]
    """1 where the ray meets the head, likewise."""
    points: Float[Tensor, "hits 3"]
    """Surface points seen by the pixels well inside the mask, in the unit frame."""


class HeadRenderer:
    """A head seen by the cameras of its photos, by the same path of a ray as in training pictures."""

    def __init__(self, head: Head, field: HeadField, photos: HeadPhotos, device: torch.device) -> None:
        self.field, self.device = field.to(device).eval(), device
        self.tracer = GridTracer(GRID_CELLS)
        self.tracer.refresh(self.field.sdf, device)
        self.corrections = corrections_of(head, photos.training)
        if self.corrections is not None:
            self.corrections = self.corrections.to(device)

    @torch.no_grad()
    def render(self, dataset: HeadDataset, view: int, held_out: bool) -> RenderedView:
        """A photo and the head from its camera, corrected where the training did; the photo's scores with it."""
        shape = int(dataset.cameras.height[view]), int(dataset.cameras.width[view])
        bundle = dataset.cameras.generate_rays(camera_indices=view)
        origins = bundle.origins.reshape(-1, 3).to(self.device)
        directions = bundle.directions.reshape(-1, 3).to(self.device)
        corrections = None if held_out else self.corrections
        if corrections is not None:
            views = torch.full((len(origins),), view, device=self.device)
            origins, directions = corrections.rays(origins, directions, views)
        parts = [
            render_rays(self.field, self.tracer, *rays)
            for rays in zip(origins.split(RAYS), directions.split(RAYS), strict=True)
        ]
        flat = {name: torch.cat([part[name] for part in parts]) for name in ("rgb", "accumulation", "depth")}
        on = flat["accumulation"][:, 0] > 0.5
        if corrections is not None:
            flat["rgb"][on] = corrections.colours(flat["rgb"][on], views[on]).clamp(0.0, 1.0)
        photo = torch.from_numpy(dataset.photo(view).copy()).to(self.device) / 255.0
        known = torch.from_numpy(dataset.known(view).copy()).to(self.device)[..., None].float()
        mask = known * torch.from_numpy(dataset.mask(view).copy()).to(self.device)[..., None]
        unknown = known.reshape(-1) < 0.5
        flat["rgb"][unknown], flat["accumulation"][unknown] = BACKGROUND, 0.0
        rendered = {name: value.reshape(*shape, -1) for name, value in flat.items()}
        inside = on & (mask.reshape(-1) > 0.5)
        return RenderedView(
            scores=self._scores(dataset, view, held_out, head_metrics(rendered, photo, mask, BACKGROUND)),
            photo=photo,
            mask=mask,
            rgb=rendered["rgb"],
            hit=rendered["accumulation"],
            points=(origins + flat["depth"] * directions)[inside],
        )

    def _scores(self, dataset: HeadDataset, view: int, held_out: bool, metrics: dict[str, float]) -> ViewScores:
        corrected = (
            None
            if held_out or self.corrections is None
            else camera_corrections(self.corrections, dataset.metadata["frame"])[view]
        )
        return ViewScores(
            view=int(dataset.metadata["view_indices"][view]),
            photo=dataset.image_filenames[view].name,
            held_out=held_out,
            mask_iou=metrics["mask_iou"],
            psnr_db=metrics["psnr"],
            ssim=metrics["ssim"],
            correction=corrected,
        )


def photo_scores(renderer: HeadRenderer, photos: HeadPhotos) -> tuple[PhotoScores, list[RenderedView]]:
    """Scores over all photos, and the photos with their renders, held-out ones first."""
    sets = [(photos.held_out, True), (photos.training, False)]
    rendered = [
        renderer.render(dataset, view, held_out)
        for dataset, held_out in sets
        if dataset is not None
        for view in range(len(dataset))
    ]
    views = [one.scores for one in rendered]
    training = MeanScores.over([one for one in views if not one.held_out])
    assert training is not None
    trained_on = [one.points for one in rendered if not one.scores.held_out]
    scores = PhotoScores(
        held_out=MeanScores.over([one for one in views if one.held_out]),
        training=training,
        photo_consistency=photo_consistency(renderer, photos.training, trained_on),
        views=tuple(views),
    )
    return scores, rendered


def photo_consistency(
    renderer: HeadRenderer, training: HeadDataset, points: list[Float[Tensor, "_ 3"]]
) -> PhotoConsistency | None:
    """NCC of patches of the surface between all pairs of training photos that see them.

    Args:
        renderer: the head.
        training: the photos, two at least for a result.
        points: surface points that each photo sees.
    """
    if len(points) < 2:
        return None
    config = PhotoConfig(compared_views=len(points) - 1)
    photos = Photos.read(training, renderer.device, PATCH_SPACING_MM, config)
    each = max(1, PATCHES // len(points))
    chosen = [seen[:: max(1, len(seen) // each)][:each] for seen in points]
    views = torch.cat([torch.full((len(seen),), view) for view, seen in enumerate(chosen)]).to(renderer.device)
    surface = torch.cat(chosen)
    if not len(surface):
        return None
    _, _, normals = renderer.field.with_gradient(surface, create_graph=False)
    with torch.no_grad():
        ncc, seen = photos.compare(surface, normals, views, renderer.tracer.cached, renderer.corrections)
    if not seen.any():
        return None
    return PhotoConsistency(
        mean_ncc=float(ncc[seen].mean()),
        pairs=int(seen.sum()),
        seen_twice=float(seen.any(dim=1).float().mean()),
        patch_mm=PATCH_SPACING_MM * (config.side - 1),
    )
