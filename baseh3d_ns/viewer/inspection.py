"""Pictures that show where a head that is being fitted is right: against its prior, its photos, its scan."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.photo_consistency import occluded
from baseh3d_ns.models.surface_view import BACKGROUND, SurfaceView
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.chunks import Sdf, points_per_call
from baseh3d_ns.texture.photos import TexturePhotos, sample
from baseh3d_ns.viewer.colours import AGREES, BACKDROP, IS_MISSING, STICKS_OUT, UNKNOWN, diverging, shaded
from baseh3d_ns.viewer.scan import SceneScan

MISSING_FROM_DEG = 10.0
"""Angle between a view and a photo up to which rays that miss the head are held against the photo's mask."""
PHOTO_GREY = 0.75
"""Grey of a surface that the photo does not show."""
LEAST_COS = 0.1
"""Cosine between normal and direction to the photo's camera below which the photo does not show a surface."""


@runtime_checkable
class InspectedModel(Protocol):
    """The model of a head, as far as it is looked into."""

    start: HeadField | None
    """The prior as it was placed."""
    views: ViewCorrections | None
    """Corrections of the cameras so far."""
    config: Any

    @property
    def cheap_sdf(self) -> Sdf:
        """Its SDF, for occlusion."""
        ...


class HeadInspection:
    """Pictures of a model beside nerfstudio's own; those that make no sense for a run are absent.

    prior_shift_mm  signed distance of the surface from the prior's as it was placed: red outside it, blue inside
    silhouette      green where the mask of the nearest photo agrees; red: sticks out of it; blue: is missing
    photo           the nearest photo, projected onto the surface that it sees
    error_mm        distance to the scan
    """

    def __init__(self, model: InspectedModel, dataset: HeadDataset, scan: SceneScan | None) -> None:
        self.model, self.dataset, self.scan = model, dataset, scan
        self.range_mm = 5.0
        """End of the colours."""

    def __call__(self, view: SurfaceView, camera: Cameras) -> dict[str, Callable[[], Tensor]]:
        producers: dict[str, Callable[[], Tensor]] = {}
        if self.model.start is not None:
            producers["prior_shift_mm"] = lambda: self.prior_shift(view)
        producers["silhouette"] = lambda: self.silhouette(view, self.nearest_photo(camera))
        producers["photo"] = lambda: self.photo(view, self.nearest_photo(camera))
        # Offered unread: a large scan takes seconds, and the first picture should not wait for it.
        if self.scan is not None and self.scan.readable:
            producers["error_mm"] = lambda: self.error(view)
        return producers

    @property
    def frame(self) -> SceneFrame:
        """Unit frame."""
        return self.dataset.metadata["frame"]

    @property
    def photos(self) -> TexturePhotos:
        """Training photos, their cameras as refined so far."""
        views = self.model.views
        return TexturePhotos(self.dataset, None if views is None else deepcopy(views).cpu())

    def nearest_photo(self, camera: Cameras) -> int:
        """Number of the photo that was taken from the direction closest to that of `camera`."""
        here = normalize(camera.camera_to_worlds[0, :, 3].cpu(), dim=0)
        there = normalize(self.dataset.cameras.camera_to_worlds[:, :, 3], dim=-1)
        return int((there @ here).argmax())

    def prior_shift_mm(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Signed distance of points from the surface of the placed prior, positive outside it: to first order, which
        holds for a shift that is small against the curvature."""
        assert self.model.start is not None
        parts = []
        for chunk in points.split(points_per_call(points.device, with_gradient=True)):
            sdf, _, gradient = self.model.start.with_gradient(chunk, create_graph=False)
            parts.append(sdf / gradient.norm(dim=-1).clamp(min=1e-3))
        return torch.cat(parts) * self.frame.radius_mm

    def prior_shift(self, view: SurfaceView) -> Float[Tensor, "rays 3"]:
        """Diverging colours of the shift since the prior."""
        return _painted(view, diverging(self.prior_shift_mm(view.points), self.range_mm), BACKDROP)

    def error(self, view: SurfaceView) -> Float[Tensor, "rays 3"]:
        """Colours of the distance to the scan, as in the heat maps of `baseh3d evaluate`; grey far from it, and where
        it turns out to be damaged."""
        from baseh3d_ns.evaluation.pictures import error_colours

        assert self.scan is not None
        if self.scan.surface is None:
            return torch.full_like(view.origins, BACKDROP)
        distances_mm = self.scan.surface.closest(self._in_mm(view.points)).distances
        colours = torch.from_numpy(error_colours(distances_mm, self.range_mm) / 255.0)
        return _painted(view, colours.to(view.points), BACKDROP)

    def silhouette(self, view: SurfaceView, photo: int) -> Float[Tensor, "rays 3"]:
        """Agreement with the mask of a photo.

        A ray that misses the head is looked up where it comes closest to the middle of the ball: exact from the
        photo's own camera. From farther than `MISSING_FROM_DEG` such rays say nothing: a mask knows no depth.
        Nor do rays whose surface a crop took away.
        """
        masked, known = self._mask_at(view.points, photo)
        on = _named_colours(masked, known, AGREES, STICKS_OUT)
        picture = _painted(view, on, BACKDROP)
        if self._degrees_from(view, photo) > MISSING_FROM_DEG:
            return picture
        near, far, in_ball = intersect_unit_ball(view.origins, view.directions)
        missed = in_ball & ~view.hits.hit
        if view.cropped_away is not None:
            missed &= ~view.cropped_away
        closest = points_along(view.origins, view.directions, 0.5 * (near + far))[missed]
        masked, known = self._mask_at(closest, photo)
        beside = torch.full_like(closest, BACKDROP)
        beside[masked & known] = closest.new_tensor(IS_MISSING)
        picture[missed] = beside
        return picture

    def photo(self, view: SurfaceView, photo: int) -> Float[Tensor, "rays 3"]:
        """Colours of a photo on the surface that it sees; the rest is grey."""
        picture = torch.from_numpy(self.dataset.photo(photo).copy()).permute(2, 0, 1).float() / 255.0
        points, normals = view.points, view.surface_normals
        photos = self.photos
        centre = points.new_tensor(self.frame.to_unit(photos.centre_mm(photo)))
        towards = normalize(centre - points, dim=-1)
        behind = occluded(self.model.cheap_sdf, points, towards[:, None], self.model.config.photos)[:, 0]
        masked, known = self._mask_at(points, photo)
        seen = masked & known & ~behind & ((towards * normals).sum(-1) > LEAST_COS)
        directions = view.directions[view.hits.hit]
        colours = shaded(torch.full_like(points, PHOTO_GREY), normals, directions)
        pixels = photos.project(self._in_mm(points[seen]), photo)
        colours[seen] = sample(picture, pixels).to(points)
        return view.paint(colours, BACKGROUND)

    def _degrees_from(self, view: SurfaceView, photo: int) -> float:
        """Angle at the middle of the ball between the camera of a view and that of a photo."""
        centres = torch.stack([view.origins[0].cpu(), self.dataset.cameras.camera_to_worlds[photo, :, 3]])
        here, there = normalize(centres, dim=-1)
        return float(torch.rad2deg(torch.acos((here @ there).clamp(-1.0, 1.0))))

    def _in_mm(self, points: Float[Tensor, "n 3"]) -> Float[np.ndarray, "n 3"]:
        return self.frame.to_world_mm(points.cpu().double().numpy())

    def _mask_at(self, points: Float[Tensor, "n 3"], photo: int) -> tuple[Tensor, Tensor]:
        """Whether points project into the mask of a photo, and whether the photo says anything there."""
        parts = np.stack([self.dataset.mask(photo), self.dataset.known(photo)]).astype(np.float32)
        found = sample(torch.from_numpy(parts), self.photos.project(self._in_mm(points), photo)).to(points) > 0.5
        return found[:, 0], found[:, 1]


def _named_colours(
    masked: Tensor, known: Tensor, inside: tuple[float, ...], outside: tuple[float, ...]
) -> Float[Tensor, "n 3"]:
    table = torch.tensor([UNKNOWN, outside, inside], device=masked.device)
    return table[known.long() * (1 + masked.long())]


def _painted(view: SurfaceView, colours: Float[Tensor, "hits 3"], elsewhere: float) -> Float[Tensor, "rays 3"]:
    """A picture of a shaded surface."""
    return view.paint(shaded(colours, view.surface_normals, view.directions[view.hits.hit]), elsewhere)
