"""Where the face of a prior should lie: the photos' rays through what a detector finds in photo and render alike.

The prior is rendered from every training camera, as placed so far, and looked at by the detectors of
`face_detection.py`; what they find in both pictures are pairs of a ray and a point of the prior.
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
from torch.nn.functional import normalize

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.placing.face_detection import find_faces, match_patches
from baseh3d_ns.rendering.chunks import points_per_call
from baseh3d_ns.rendering.sdf_grid import GridTracer

BOX_WEIGHT, BOX_TOLERANCE = 0.1, 0.04
"""Of the faces' boxes: weight, and how far they may disagree, in units of the unit ball (8 mm): beyond, the loss grows
linearly."""
PATCH_WEIGHT, PATCH_TOLERANCE = 0.5, 0.02
"""The same of the faces' patches."""
RENDER_SIZE = 160
"""Longer side of the pictures the faces are looked for in."""


@dataclass(frozen=True)
class FaceLines:
    """Of every face (or patch of one) found: the photo's ray through it, and the prior's point in its place."""

    origins: Float[Tensor, "faces 3"]
    directions: Float[Tensor, "faces 3"]
    points: Float[Tensor, "faces 3"]
    """In the prior's unit frame."""
    normals: Float[Tensor, "faces 3"]
    """Of the prior there, unit length."""
    weight: float
    tolerance: float
    """In units of the unit ball."""
    views: int
    """In how many a face was found."""


def find_boxes(field: HeadField, grid: GridTracer, placement: Placement, dataset: HeadDataset) -> FaceLines | None:
    """The middles of the faces in every photo and in the prior's render beside it; None where no pair is found."""

    def match(photo: UInt8[np.ndarray, "h w 3"], render: UInt8[np.ndarray, "h w 3"]) -> list:
        boxes = find_faces(photo, render)
        return [tuple((int(box.y), int(box.x)) for box in boxes)] if boxes else []

    return _find_lines(field, grid, placement, dataset, match, BOX_WEIGHT, BOX_TOLERANCE)


def find_patches(field: HeadField, grid: GridTracer, placement: Placement, dataset: HeadDataset) -> FaceLines | None:
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
) -> FaceLines | None:
    """What `match` finds in both a photo and the prior's render beside it, pixel by pixel, for all views."""
    found, views = [], 0
    for view in range(len(dataset)):
        photo, rays = small_photo(dataset, view)
        picture, points = render(field, grid, placement, rays)
        pairs = match(photo, picture)
        found += [(rays.origins[p], rays.directions[p], *points[r].view(2, 3)) for p, r in pairs]
        views += bool(pairs)
    if not found:
        return None
    device = field.placement.similarity.device
    origins, directions, points, normals = (torch.stack(part).to(device) for part in zip(*found, strict=True))
    return FaceLines(origins, directions, points, normals, weight, tolerance, views)


def small_photo(dataset: HeadDataset, view: int) -> tuple[UInt8[np.ndarray, "h w 3"], RayBundle]:
    """A photo on white at `RENDER_SIZE`, and the rays of its pixels."""
    from copy import deepcopy

    data = dataset.get_data(view, image_type="uint8")
    on_white = np.where(data["fg_mask"].numpy() > 0.5, data["image"].numpy(), 255).astype(np.uint8)
    camera = deepcopy(dataset.cameras[view : view + 1])
    camera.rescale_output_resolution(min(1.0, RENDER_SIZE / max(on_white.shape)))
    rays = camera.generate_rays(camera_indices=0)
    height, width = rays.origins.shape[:2]
    return np.array(Image.fromarray(on_white).resize((width, height), Image.Resampling.BOX)), rays


def render(
    field: HeadField, grid: GridTracer, placement: Placement, rays: RayBundle
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[Tensor, "h w 6"]]:
    """The placed prior on white; the points it shows in its own unit frame (where none, the nearest) with normals."""
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
        colour, normal = torch.ones_like(o), -d
        if traced.hit.any():
            _, features, gradient = field.with_gradient(point[traced.hit], create_graph=False)
            colour[traced.hit] = field.colour(point[traced.hit], gradient, -d[traced.hit], features)
            normal[traced.hit] = normalize(gradient, dim=-1)
        colours.append(colour)
        points.append(torch.cat([point, normal], dim=-1))
    picture = (torch.cat(colours) * 255.0).round().to(torch.uint8).reshape(*shape, 3).cpu().numpy()
    return picture, torch.cat(points).reshape(*shape, 6)
