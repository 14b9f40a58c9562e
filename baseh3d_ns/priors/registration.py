"""Bring a prior to a new head before fitting, in seconds.

The unit frames of two subjects differ by what happens to be in them (a bun, shoulders), so a prior that is loaded as it
is starts centimetres off. A similarity of seven degrees of freedom is fitted to

1. the silhouettes: soft ones of the prior's least SDF along a ray, as in IDR's mask loss (Yariv et al. 2020, eq. 7);
   their absolute difference from the masks, so that another haircut counts by its area and no more;
2. the faces: where one detector finds the face in a photo and in the prior's render from the same camera, the rays
   through both should meet the prior in the same point, and so should those through patches of the two faces, found
   by correlation, once they lie nearly upon each other. Silhouettes alone take hair for head (26 mm on a curly one);
3. what is likely: two heads are about as large, in millimetres, and turned alike.

The prior's SDF is cached on a grid, so that no step asks the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.rays import RayBundle
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.priors.face_detection import find_faces, match_patches
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.chunks import points_per_call
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import uniform_samples

GRID_CELLS = 64
RAYS, SAMPLES = 1024, 32
STEPS = (80, 80, 80)
"""Of Adam: with silhouettes alone, with the faces' boxes, with the faces' patches."""
LEARNING_RATE = 0.02
SHARPNESS = (20.0, 100.0)
"""Of the soft silhouettes at the first and last step: first a wide basin, then the contour."""
SIZE_WEIGHT, TURN_WEIGHT = 20.0, 1.0
"""Of squared log scale and squared angle."""
BOX_WEIGHT, BOX_TOLERANCE = 0.1, 0.04
"""Of the faces' boxes: weight, and how far they may disagree, in units of the unit ball (8 mm): beyond, the loss grows
linearly."""
PATCH_WEIGHT, PATCH_TOLERANCE = 0.5, 0.02
"""The same of the faces' patches."""
POOR_IOU = 0.6
"""Two heads with other hair and shoulders still agree to 0.7."""
RENDER_SIZE = 256
"""Longer side of the pictures the faces are looked for in."""


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


@dataclass(frozen=True)
class _FaceLines:
    """Of every face (or patch of one) found: the photo's ray through it, and the prior's point in its place."""

    origins: Float[Tensor, "faces 3"]
    directions: Float[Tensor, "faces 3"]
    points: Float[Tensor, "faces 3"]
    """In the prior's unit frame."""
    weight: float
    tolerance: float
    """In units of the unit ball."""
    views: int
    """In how many a face was found."""


def register_prior(
    field: HeadField, prior_frame: SceneFrame | None, dataset: HeadDataset, pool: RayPool
) -> Registration:
    """Set `field.placement` so that the prior in `field` lies where the masks and photos of `dataset` show a head.

    Args:
        field: the prior, as loaded.
        prior_frame: unit frame it was trained in, for its size; None when unknown.
        dataset: photos, masks and cameras of the new head.
        pool: its rays.
    """
    from tqdm import tqdm

    frame: SceneFrame = dataset.metadata["frame"]
    device = pool.rays.directions.device
    grid = GridTracer(GRID_CELLS)
    grid.refresh(field.sdf, device)
    placement = Placement().to(device)
    before = _silhouette_iou(grid, placement, pool)
    size = float(np.log(frame.radius_mm / prior_frame.radius_mm)) if prior_frame else 0.0
    placement.similarity[0] = size

    with tqdm(total=sum(STEPS), desc="Placing the prior", unit="step", delay=2.0, leave=False) as bar:
        _descend(placement, grid, pool, None, size, STEPS[0], bar.update)
        faces = _find_boxes(field, grid, placement, dataset)
        _descend(placement, grid, pool, faces, size, STEPS[1], bar.update)
        faces = _find_patches(field, grid, placement, dataset) or faces
        _descend(placement, grid, pool, faces, size, STEPS[2], bar.update)
    after = _silhouette_iou(grid, placement, pool)
    field.placement.follow(placement)
    return Registration(iou_before=before, iou_after=after, faces=faces.views if faces else 0)


def _descend(
    placement: Placement, grid: GridTracer, pool: RayPool, faces: _FaceLines | None, size: float, steps: int, tick
) -> None:
    similarity = placement.similarity.requires_grad_(True)
    optimizer = torch.optim.Adam([similarity], lr=LEARNING_RATE)
    for step in range(steps):
        done = step / steps
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - done)
        bundle, batch = pool.draw_from_all_views(RAYS)
        least = _least_sdf(grid, placement, bundle.origins, bundle.directions)
        sharpness = SHARPNESS[0] ** (1.0 - done) * SHARPNESS[1] ** done
        loss = (torch.sigmoid(-sharpness * least) - batch["fg_mask"][:, 0]).abs().mean()
        loss = loss + SIZE_WEIGHT * (similarity[0] - size) ** 2 + TURN_WEIGHT * similarity[1:4].square().sum()
        if faces:
            loss = loss + faces.weight * _face_distance(placement, faces)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick()
    similarity.requires_grad_(False)


def _face_distance(placement: Placement, faces: _FaceLines) -> Float[Tensor, ""]:
    """Mean pseudo-Huber distance from the prior's face points to the photos' rays, in units of the tolerance."""
    offset = faces.points - placement.points(faces.origins)
    directions = placement.directions(faces.directions)
    across = offset - (offset * directions).sum(-1, keepdim=True) * directions
    squared = (across / placement.scale / faces.tolerance).square().sum(-1)
    return ((1.0 + squared).sqrt() - 1.0).mean()


def _least_sdf(
    grid: GridTracer, placement: Placement, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> Float[Tensor, " rays"]:
    """Least SDF of the placed prior along every ray, in the new unit frame, differentiable in the placement."""
    near, far, _ = intersect_unit_ball(origins, directions)
    points = placement.points(points_along(origins, directions, uniform_samples(near, far, SAMPLES, jitter=True)))
    inside = points.clamp(-1.0, 1.0)
    assert grid.values is not None
    values = grid_sample(grid.values, inside[None, None], align_corners=True)[0, 0, 0]
    return ((values + (points - inside).norm(dim=-1)) / placement.scale).amin(dim=1)


@torch.no_grad()
def _silhouette_iou(grid: GridTracer, placement: Placement, pool: RayPool) -> float:
    """Intersection over union of the placed prior's silhouettes and the masks, over a sample of all pixels."""
    bundle, batch = pool.draw_from_all_views(16 * RAYS)
    predicted = _least_sdf(grid, placement, bundle.origins, bundle.directions) < 0.0
    inside = batch["fg_mask"][:, 0] > 0.5
    return float((predicted & inside).sum() / (predicted | inside).sum().clamp(min=1))


# ---- faces -----------------------------------------------------------------------------------------------------------


def _find_boxes(field: HeadField, grid: GridTracer, placement: Placement, dataset: HeadDataset) -> _FaceLines | None:
    """The middles of the faces in every photo and in the prior's render beside it; None where no pair is found."""

    def match(photo: UInt8[np.ndarray, "h w 3"], render: UInt8[np.ndarray, "h w 3"]) -> list:
        boxes = find_faces(photo, render)
        return [tuple((int(box.y), int(box.x)) for box in boxes)] if boxes else []

    return _find_lines(field, grid, placement, dataset, match, BOX_WEIGHT, BOX_TOLERANCE)


def _find_patches(field: HeadField, grid: GridTracer, placement: Placement, dataset: HeadDataset) -> _FaceLines | None:
    """The same of patches of the faces."""
    return _find_lines(field, grid, placement, dataset, match_patches, PATCH_WEIGHT, PATCH_TOLERANCE)


@torch.no_grad()
def _find_lines(
    field: HeadField,
    grid: GridTracer,
    placement: Placement,
    dataset: HeadDataset,
    match: Callable[[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]], list],
    weight: float,
    tolerance: float,
) -> _FaceLines | None:
    """What `match` finds in both a photo and the prior's render beside it, pixel by pixel, for all views."""
    found, views = [], 0
    for view in range(len(dataset)):
        photo, rays = _small_photo(dataset, view)
        render, points = _render(field, grid, placement, rays)
        pairs = match(photo, render)
        found += [(rays.origins[p], rays.directions[p], points[r]) for p, r in pairs]
        views += bool(pairs)
    if not found:
        return None
    device = field.placement.similarity.device
    origins, directions, points = (torch.stack(part).to(device) for part in zip(*found, strict=True))
    return _FaceLines(origins, directions, points, weight, tolerance, views)


def _small_photo(dataset: HeadDataset, view: int) -> tuple[UInt8[np.ndarray, "h w 3"], RayBundle]:
    """A photo on white at `RENDER_SIZE`, and the rays of its pixels."""
    from copy import deepcopy

    data = dataset.get_data(view, image_type="uint8")
    on_white = np.where(data["fg_mask"].numpy() > 0.5, data["image"].numpy(), 255).astype(np.uint8)
    camera = deepcopy(dataset.cameras[view : view + 1])
    camera.rescale_output_resolution(min(1.0, RENDER_SIZE / max(on_white.shape)))
    rays = camera.generate_rays(camera_indices=0)
    height, width = rays.origins.shape[:2]
    return np.array(Image.fromarray(on_white).resize((width, height), Image.Resampling.BOX)), rays


def _render(
    field: HeadField, grid: GridTracer, placement: Placement, rays: RayBundle
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[Tensor, "h w 3"]]:
    """The placed prior on white, and the points it shows in its own unit frame (where it shows none, the nearest)."""
    device = field.placement.similarity.device
    shape = rays.origins.shape[:2]
    origins = placement.points(rays.origins.reshape(-1, 3).to(device))
    directions = placement.directions(rays.directions.reshape(-1, 3).to(device))
    colours, points = [], []
    chunk = points_per_call(device, with_gradient=True)
    for o, d in zip(origins.split(chunk), directions.split(chunk), strict=True):
        # As exact as training needs it: the picture is only looked at by detectors.
        traced = grid.training_points(field.sdf, o, d, torch.ones(len(o), dtype=torch.bool, device=device))
        point = o + traced.t[:, None] * d
        colour = torch.ones_like(o)
        if traced.hit.any():
            _, features, gradient = field.with_gradient(point[traced.hit], create_graph=False)
            colour[traced.hit] = field.colour(point[traced.hit], gradient, -d[traced.hit], features)
        colours.append(colour)
        points.append(point)
    picture = (torch.cat(colours) * 255.0).round().to(torch.uint8).reshape(*shape, 3).cpu().numpy()
    return picture, torch.cat(points).reshape(*shape, 3)
