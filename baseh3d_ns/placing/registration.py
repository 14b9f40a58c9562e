"""Bring a prior to a new head before fitting, in seconds.

The unit frames of two subjects differ by what happens to be in them (a bun, shoulders), so a prior that is loaded as it
is starts centimetres off. A similarity of seven degrees of freedom is fitted to

1. the silhouettes: soft ones of the prior's least SDF along a ray, as in IDR's mask loss (Yariv et al. 2020, eq. 7);
   their absolute difference from the masks, so that another haircut counts by its area and no more;
2. the faces: where one detector finds the face in a photo and in the prior's render from the same camera, the rays
   through both should meet the prior in the same point, and so should those through patches of the two faces, found
   by correlation, once they lie nearly upon each other (not those of a shape space, whose face is a blur).
   Silhouettes alone take hair for head (26 mm on a curly one);
3. what is likely: two heads are about as large, in millimetres, and turned alike. (A prior that knows how heads stand
   starts turned as the photos show the head, `orientation.py`.)

The prior's SDF is cached on a grid, so that no step asks the network. Of a shape space the latent is fitted as well,
once the faces lie upon each other: the grid says where on a ray the SDF is least, the network what it is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import HEAD_FRAME, SceneFrame
from baseh3d_ns.heads.latent_pca import LikelyLatents
from baseh3d_ns.placing.correspondences import FaceLines, find_boxes, find_patches
from baseh3d_ns.placing.orientation import turn_to_standing
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import uniform_samples

GRID_CELLS = 48
RAYS, SAMPLES = 1024, 32
STEPS = (80, 80, 80)
"""Of Adam: with silhouettes alone, with the faces' boxes, with the faces' patches or a shape space's latent."""
LEARNING_RATE = 0.02
SHARPNESS = (20.0, 100.0)
"""Of the soft silhouettes at the first and last step: first a wide basin, then the contour."""
SIZE_WEIGHT = 20.0
"""Of squared log scale."""
TURN_WEIGHTS, STANDING_WEIGHTS = (1.0, 1.0, 1.0), (1.0, 0.1, 1.0)
"""Of the squared sine of a turn, by its axis in the prior's frame. Of a shape space y is up: photos say well how a head
looks left and right, but curls seen from three sides are soon explained by leaning it."""
DIRECTIONS = 24
"""Of a shape space's latents, those that vary most."""
CODES_WEIGHT, CODES_LEARNING_RATE = 1e-3, 0.1
"""Of the squared standard deviations that a head has gone along them."""
NECK = float(HEAD_FRAME.to_unit(np.array([0.0, -125.0, 0.0]))[1])
"""Height in a shape space's unit frame, below the chin."""
REFRESH_STEPS = 20
"""Steps between two looks at the shape space's SDF, while the latent moves."""
POOR_IOU = 0.6
"""Two heads with other hair and shoulders still agree to 0.7."""


@dataclass(frozen=True)
class Registration:
    """How well the prior explains the masks, and what placed it."""

    iou_before: float
    """Intersection over union of the prior's silhouettes with the masks, as it was loaded."""
    iou_after: float
    faces: int
    """Views whose face was found in the photo and in the prior's render."""

    @property
    def trust(self) -> float:
        """How much to lean on the prior: 1 where it explains the masks as a head does, 0 at half of `POOR_IOU`."""
        return min(1.0, max(0.0, 2.0 * self.iou_after / POOR_IOU - 1.0))

    def summary(self, views: int) -> str:
        """One line for the log."""
        text = f"Placed the prior: silhouettes agree to {self.iou_after:.2f} (IoU; {self.iou_before:.2f} as loaded), "
        text += f"faces found in {self.faces} of {views} views."
        if self.iou_after < POOR_IOU:
            text += " That is poor: check that the masks are white on the head, or take another prior."
        return text


@dataclass
class Candidate:
    """The prior as placed so far."""

    field: HeadField
    grid: GridTracer
    """Its SDF."""
    placement: Placement
    latents: LikelyLatents | None
    """Of a shape space."""
    codes: Float[Tensor, " k"]
    """How far the head has gone along them."""
    expected: Placement
    """Scale and turn that are likely, before anything is fitted."""
    in_standard_frame: bool = False
    """Whether the prior stands as shape spaces do."""

    def unlikely(self) -> Float[Tensor, ""]:
        """How far scale and turn are from what is likely."""
        sines = self.placement.turned_from(self.expected)
        weights = sines.new_tensor(STANDING_WEIGHTS if self.in_standard_frame else TURN_WEIGHTS)
        larger = self.placement.similarity[0] - self.expected.similarity[0]
        return SIZE_WEIGHT * larger.square() + (weights * sines.square()).sum()

    def latent(self) -> Float[Tensor, "1 l"] | None:
        """What the shape space is asked for."""
        return None if self.latents is None else self.latents.at(self.codes)[None]

    @torch.no_grad()
    def refresh(self) -> None:
        """Cache the SDF of the present latent."""
        if self.latents is not None and self.field.latent is not None:
            self.field.latent.copy_(self.latents.at(self.codes))
        self.grid.refresh(self.field.sdf, self.codes.device)


def register_prior(
    field: HeadField,
    prior_frame: SceneFrame | None,
    dataset: HeadDataset,
    pool: RayPool,
    latents: Float[Tensor, "heads l"] | None = None,
) -> Registration:
    """Set `field.placement`, and `field.latent` of a shape space, to where masks and photos of `dataset` show a head.

    Args:
        field: the prior, as loaded.
        prior_frame: unit frame it was trained in, for its size; None when unknown.
        dataset: photos, masks and cameras of the new head.
        pool: its rays.
        latents: of a shape space: those of the heads it was learned from; they say what is likely.
    """
    from tqdm import tqdm

    frame: SceneFrame = dataset.metadata["frame"]
    device = pool.rays.directions.device
    likely, codes = None, torch.zeros(0, device=device)
    if latents is not None and field.latent is not None:
        likely = LikelyLatents.of(latents, field.latent.detach().clone(), DIRECTIONS)
        codes = torch.zeros(len(likely.spread), device=device)
    expected = Placement()
    if prior_frame:
        expected.similarity[0] = float(np.log(frame.radius_mm / prior_frame.radius_mm))
    standing = prior_frame == HEAD_FRAME
    if standing:
        expected.similarity[1:4] = turn_to_standing(dataset)
    expected = expected.to(device)
    found = Candidate(field, GridTracer(GRID_CELLS), Placement().to(device), likely, codes, expected, standing)
    found.refresh()
    before = _silhouette_iou(found, pool)
    found.placement.similarity.copy_(expected.similarity)

    with tqdm(total=sum(STEPS), desc="Placing the prior", unit="step", delay=2.0, leave=False) as bar:
        _descend(found, pool, None, STEPS[0], bar.update)
        faces = find_boxes(field, found.grid, found.placement, dataset)
        _descend(found, pool, faces, STEPS[1], bar.update)
        if likely is None:
            # The colours of a shape space are everybody's: patches of them correlate with nothing (4.0 mm, not 2.3).
            faces = find_patches(field, found.grid, found.placement, dataset) or faces
        _descend(found, pool, faces, STEPS[2], bar.update, with_latent=likely is not None)
    found.refresh()
    after = _silhouette_iou(found, pool)
    field.placement.follow(found.placement)
    return Registration(iou_before=before, iou_after=after, faces=faces.views if faces else 0)


def _descend(
    found: Candidate, pool: RayPool, faces: FaceLines | None, steps: int, tick, with_latent: bool = False
) -> None:
    similarity = found.placement.similarity.requires_grad_(True)
    codes = found.codes.requires_grad_(with_latent)
    rates = [LEARNING_RATE, CODES_LEARNING_RATE]
    optimizer = torch.optim.Adam([{"params": [similarity]}, {"params": [codes]}])
    for step in range(steps):
        done = step / steps
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1.0 - done)
        if with_latent and step % REFRESH_STEPS == 0:
            found.refresh()
        bundle, batch = pool.draw_from_all_views(RAYS)
        least, counts = _least_sdf(found, bundle.origins, bundle.directions)
        sharpness = SHARPNESS[0] ** (1.0 - done) * SHARPNESS[1] ** done
        loss = (torch.sigmoid(-sharpness * least) - batch["fg_mask"][:, 0])[counts].abs().mean()
        loss = loss + found.unlikely()
        if with_latent:
            loss = loss + CODES_WEIGHT * codes.square().sum()
        if faces:
            loss = loss + faces.weight * _face_distance(found, faces)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick()
    similarity.requires_grad_(False)
    codes.requires_grad_(False)


def _face_distance(found: Candidate, faces: FaceLines) -> Float[Tensor, ""]:
    """Mean pseudo-Huber distance from the prior's face points to the photos' rays, in units of the tolerance."""
    placement, points = found.placement, faces.points
    if found.codes.requires_grad:
        # Another latent moves the surface along its normal.
        points = points - found.field.sdf_network(points, found.latent())[:, :1] * faces.normals
    offset = points - placement.points(faces.origins)
    directions = placement.directions(faces.directions)
    across = offset - (offset * directions).sum(-1, keepdim=True) * directions
    squared = (across / placement.scale / faces.tolerance).square().sum(-1)
    return ((1.0 + squared).sqrt() - 1.0).mean()


def _least_sdf(
    found: Candidate, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> tuple[Float[Tensor, " rays"], Bool[Tensor, " rays"]]:
    """Least SDF of the placed prior along every ray, in the new unit frame, differentiable in placement and latent.

    And which rays count: where a bust ends says nothing about the head, and a shape space knows where its neck is.
    """
    near, far, _ = intersect_unit_ball(origins, directions)
    points = found.placement.points(points_along(origins, directions, uniform_samples(near, far, SAMPLES, jitter=True)))
    inside = points.clamp(-1.0, 1.0)
    values = found.grid.cached(inside) + (points - inside).norm(dim=-1)
    least = points[torch.arange(len(points), device=points.device), values.argmin(dim=1)]
    counts = torch.ones_like(least[:, 1], dtype=torch.bool) if not found.in_standard_frame else least[:, 1] > NECK
    if not found.codes.requires_grad:
        return values.amin(dim=1) / found.placement.scale, counts
    # Where the least lies says the grid; how it changes with the latent only the network knows.
    return found.field.sdf_network(least, found.latent())[:, 0] / found.placement.scale, counts


@torch.no_grad()
def _silhouette_iou(found: Candidate, pool: RayPool) -> float:
    """Intersection over union of the placed prior's silhouettes and the masks, over a sample of all pixels."""
    bundle, batch = pool.draw_from_all_views(16 * RAYS)
    least, counts = _least_sdf(found, bundle.origins, bundle.directions)
    predicted, inside = least[counts] < 0.0, batch["fg_mask"][counts, 0] > 0.5
    return float((predicted & inside).sum() / (predicted | inside).sum().clamp(min=1))
