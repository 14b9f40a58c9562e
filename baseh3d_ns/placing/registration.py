"""Registration of a prior to a new head before fitting, in seconds.

The unit frames of two subjects differ by what happens to be in them (a bun, shoulders), so a prior that is loaded as it
is starts centimetres off. A similarity of seven degrees of freedom is fitted to

1. the silhouettes: soft ones of the prior's minimum SDF along a ray, as in IDR's mask loss (Yariv et al. 2020, eq. 7);
   their absolute difference from the masks, so that another haircut counts by its area and no more;
2. the faces: where one detector finds the face in a photo and in the prior's render from the same camera, the rays
   through both should meet the prior in the same point; so should those through patches of the two faces, matched by
   correlation, once they nearly coincide (not for a shape space, whose face is a blur). Silhouettes alone take hair
   for head;
3. a prior on the pose: two heads are about as large, in millimetres, and turned alike. (A shape space starts turned as
   the photos show the head, `orientation.py`.)

The prior's SDF is cached on a grid, so that no step asks the network. A shape space's latent is fitted as well, once
the faces coincide: the grid says where on a ray the SDF is smallest, the network its value there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import HEAD_FRAME, SceneFrame
from baseh3d_ns.heads.latent_pca import LatentPca
from baseh3d_ns.placing.candidate import Candidate, min_sdf_along
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.correspondences import FaceCorrespondences, match_boxes, match_patches
from baseh3d_ns.placing.orientation import rotation_to_upright
from baseh3d_ns.placing.photos import upright_photos
from baseh3d_ns.rendering.sdf_grid import GridTracer


@dataclass(frozen=True)
class Registration:
    """Agreement of the placed prior with masks and faces."""

    iou_before: float
    """Intersection over union of the prior's silhouettes with the masks, as it was loaded."""
    iou_after: float
    """The same once it is placed."""
    faces: int
    """Views whose face was found in the photo and in the prior's render."""
    min_iou: float
    """IoU below which the placement counts as poor."""
    up_found: bool = True
    """Whether the photos showed how an upright prior stands in the world, or the prior needed no such thing."""

    @property
    def confidence(self) -> float:
        """Confidence in the prior: 1 where it explains the masks as a head does, 0 at half of `min_iou`."""
        return min(1.0, max(0.0, 2.0 * self.iou_after / self.min_iou - 1.0))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each reason to doubt the placement."""
        found = []
        if not self.up_found:
            found.append(
                "The head's up was not found, since no photo shows a face from the front, turned or not: the prior was "
                "placed as if the head stood along the world's +y and faced +z; add a frontal photo if it does not."
            )
        if self.iou_after < self.min_iou:
            found.append(
                f"The placed prior's silhouettes agree with the masks to {self.iou_after:.2f} (IoU) only: check that "
                "the masks are white on the head, or take another prior."
            )
        return tuple(found)

    def summary(self, views: int) -> str:
        """Lines for the log."""
        text = f"Placed the prior: silhouettes agree to {self.iou_after:.2f} (IoU; {self.iou_before:.2f} as loaded), "
        text += f"faces found in {self.faces} of {views} views."
        return " ".join([text, *self.warnings])


def register_prior(
    field: HeadField,
    prior_frame: SceneFrame | None,
    dataset: HeadDataset,
    pool: RayPool,
    config: PlacingConfig,
    latents: Float[Tensor, "heads l"] | None = None,
) -> Registration:
    """Set `field.placement`, and a shape space's `field.latent`, to where masks and photos of `dataset` show a head.

    Args:
        field: the prior, as loaded.
        prior_frame: unit frame it was trained in, for its size; None when unknown.
        dataset: photos, masks and cameras of the new head.
        pool: its rays.
        config: steps, weights and tolerances.
        latents: latents of the heads that a shape space was learned from.
    """
    from tqdm import tqdm

    photos = upright_photos(dataset, config.faces)
    upright = prior_frame == HEAD_FRAME
    rotation = rotation_to_upright(photos, config) if upright else None
    found = _candidate(field, prior_frame, dataset, config, latents)
    if rotation is not None:
        found.expected.similarity[1:4] = rotation
    found.refresh()
    before = _silhouette_iou(found, pool)
    found.placement.similarity.copy_(found.expected.similarity)
    with tqdm(total=sum(config.steps), desc="Placing the prior", unit="step", delay=2.0, leave=False) as bar:
        _descend(found, pool, None, config.steps[0], bar.update)
        faces = match_boxes(field, found.grid, found.placement, photos, config.faces)
        _descend(found, pool, faces, config.steps[1], bar.update)
        if found.pca is None:
            # The colours of a shape space are everybody's: patches of them correlate with nothing.
            faces = match_patches(field, found.grid, found.placement, photos, config.faces) or faces
        _descend(found, pool, faces, config.steps[2], bar.update, with_latent=found.pca is not None)
    found.refresh()
    after = _silhouette_iou(found, pool)
    field.placement.follow(found.placement)
    return Registration(before, after, faces.views if faces else 0, config.min_iou, rotation is not None or not upright)


def _candidate(
    field: HeadField,
    prior_frame: SceneFrame | None,
    dataset: HeadDataset,
    config: PlacingConfig,
    latents: Float[Tensor, "heads l"] | None,
) -> Candidate:
    """The prior with the scale that is expected of it, in its own axes."""
    frame: SceneFrame = dataset.metadata["frame"]
    device = field.placement.similarity.device
    pca, coefficients = None, torch.zeros(0, device=device)
    if latents is not None and field.latent is not None:
        pca = LatentPca.fit(latents, field.latent.detach().clone(), config.latent_components)
        coefficients = torch.zeros(len(pca.components), device=device)
    expected = Placement()
    if prior_frame:
        expected.similarity[0] = float(np.log(frame.radius_mm / prior_frame.radius_mm))
    grid, upright = GridTracer(config.grid_cells), prior_frame == HEAD_FRAME
    return Candidate(config, field, grid, Placement().to(device), pca, coefficients, expected.to(device), upright)


def _descend(
    found: Candidate,
    pool: RayPool,
    faces: FaceCorrespondences | None,
    steps: int,
    tick: Callable[[], object],
    with_latent: bool = False,
) -> None:
    """One stage of Adam on the similarity, and on the latent's coefficients where asked."""
    config = found.config
    similarity = found.placement.similarity.requires_grad_(True)
    coefficients = found.coefficients.requires_grad_(with_latent)
    rates = (config.learning_rate, config.latent_learning_rate)
    optimizer = torch.optim.Adam([{"params": [similarity]}, {"params": [coefficients]}])
    for step in range(steps):
        done = step / steps
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1.0 - done)
        if with_latent and step % config.latent_refresh_steps == 0:
            found.refresh()
        bundle, batch = pool.draw_from_all_views(config.rays)
        min_sdf, counts = min_sdf_along(found, bundle.origins, bundle.directions, with_latent)
        sharpness = config.sharpness[0] ** (1.0 - done) * config.sharpness[1] ** done
        loss = (torch.sigmoid(-sharpness * min_sdf) - batch["fg_mask"][:, 0])[counts].abs().mean()
        loss = loss + found.pose_penalty()
        if with_latent:
            loss = loss + config.latent_weight * coefficients.square().sum()
        if faces:
            loss = loss + faces.weight * _face_loss(found, faces, with_latent)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick()
    similarity.requires_grad_(False)
    coefficients.requires_grad_(False)


def _face_loss(found: Candidate, faces: FaceCorrespondences, with_latent: bool) -> Float[Tensor, ""]:
    """Mean pseudo-Huber distance from the prior's face points to the photos' rays, in units of the tolerance."""
    placement, points = found.placement, faces.points
    if with_latent:
        # Another latent moves the surface along its normal.
        points = points - found.field.sdf_network(points, found.latent())[:, :1] * faces.normals
    offset = points - placement.points(faces.origins)
    directions = placement.directions(faces.directions)
    across = offset - (offset * directions).sum(-1, keepdim=True) * directions
    squared = (across / placement.scale / faces.tolerance).square().sum(-1)
    return ((1.0 + squared).sqrt() - 1.0).mean()


@torch.no_grad()
def _silhouette_iou(found: Candidate, pool: RayPool) -> float:
    """Intersection over union of the placed prior's silhouettes and the masks, over a sample of all pixels."""
    bundle, batch = pool.draw_from_all_views(16 * found.config.rays)
    min_sdf, counts = min_sdf_along(found, bundle.origins, bundle.directions)
    predicted, in_mask = min_sdf[counts] < 0.0, batch["fg_mask"][counts, 0] > 0.5
    return float((predicted & in_mask).sum() / (predicted | in_mask).sum().clamp(min=1))
