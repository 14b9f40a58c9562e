"""Face correspondences: rays of the photos and points of the prior that show the same place of a face.

The prior is rendered from every training camera, as placed so far, and looked at by the detectors of
`face_detection.py`; a place found in both pictures is a pair of a ray and a point of the prior.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.placing.config import FaceMatchConfig
from baseh3d_ns.placing.face_detection import PixelPair, find_faces, find_patches
from baseh3d_ns.placing.photos import SmallPhoto
from baseh3d_ns.rendering.chunks import points_per_call
from baseh3d_ns.rendering.sdf_grid import GridTracer

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class FaceCorrespondences:
    """Rays of the photos and points of the prior that should meet, one pair a face or a patch of one."""

    origins: Float[Tensor, "pairs 3"]
    """Origins of the rays in the unit frame."""
    directions: Float[Tensor, "pairs 3"]
    """Unit directions of the rays."""
    points: Float[Tensor, "pairs 3"]
    """Points of the prior in its own unit frame."""
    normals: Float[Tensor, "pairs 3"]
    """Unit normals of the prior there."""
    weight: float
    """Weight in the loss."""
    tolerance: float
    """Distance beyond which the loss grows linearly, in units of the unit ball."""
    views: int
    """Number of views that a face was found in."""


def match_boxes(
    field: HeadField, grid: GridTracer, placement: Placement, photos: Sequence[SmallPhoto], config: FaceMatchConfig
) -> FaceCorrespondences | None:
    """Centres of the face boxes in every photo and in the prior's render beside it; None where no pair is found."""

    def match(photo: Picture, render: Picture) -> list[PixelPair]:
        boxes = find_faces(photo, render, config.min_width)
        return [((int(boxes[0].y), int(boxes[0].x)), (int(boxes[1].y), int(boxes[1].x)))] if boxes else []

    return _match(field, grid, placement, photos, config, match, config.box_weight, config.box_tolerance)


def match_patches(
    field: HeadField, grid: GridTracer, placement: Placement, photos: Sequence[SmallPhoto], config: FaceMatchConfig
) -> FaceCorrespondences | None:
    """Centres of face patches in every photo and in the prior's render beside it; None where no pair is found."""

    def match(photo: Picture, render: Picture) -> list[PixelPair]:
        return find_patches(photo, render, config)

    return _match(field, grid, placement, photos, config, match, config.patch_weight, config.patch_tolerance)


@torch.no_grad()
def _match(
    field: HeadField,
    grid: GridTracer,
    placement: Placement,
    photos: Sequence[SmallPhoto],
    config: FaceMatchConfig,
    match: Callable[[Picture, Picture], list[PixelPair]],
    weight: float,
    tolerance: float,
) -> FaceCorrespondences | None:
    """Correspondences of all views, from the pixels that `match` finds in both a photo and the prior's render."""
    found, views = [], 0
    for photo in photos:
        picture, points = render(field, grid, placement, photo.origins, photo.directions)
        pairs = match(photo.picture, picture)
        found += [(photo.origins[p], photo.directions[p], *points[r].view(2, 3)) for p, r in pairs]
        views += bool(pairs)
    if not found:
        return None
    device = field.placement.similarity.device
    origins, directions, points, normals = (torch.stack(part).to(device) for part in zip(*found, strict=True))
    return FaceCorrespondences(origins, directions, points, normals, weight, tolerance, views)


def render(
    field: HeadField,
    grid: GridTracer,
    placement: Placement,
    origins: Float[Tensor, "h w 3"],
    directions: Float[Tensor, "h w 3"],
) -> tuple[Picture, Float[Tensor, "h w 6"]]:
    """The placed prior on white, and the point (3) and unit normal (3) behind every pixel in the prior's unit frame.

    Behind pixels that show no surface stand the point where the SDF is smallest and the direction to the camera.
    """
    device = field.placement.similarity.device
    shape = origins.shape[:2]
    origins = placement.points(origins.reshape(-1, 3).to(device))
    directions = placement.directions(directions.reshape(-1, 3).to(device))
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
