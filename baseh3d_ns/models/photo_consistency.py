"""Whether the photos agree on the surface: small patches of it as one photo shows them and as others do.

A colour network says what a point looks like from everywhere, but is too smooth to notice that a cheek stands a
millimetre too far back. Photos held against each other notice it. Source: Fu et al., "Geo-Neus: Geometry-Consistent
Neural Implicit Surfaces Learning for Multi-view Reconstruction", NeurIPS 2022, section 3.3: patches of the tangent
plane, compared by normalised cross-correlation, which does not mind another exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample, normalize, one_hot

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.chunks import Sdf, in_chunks

PITCHES_MM, FINE_FROM, SIDE = (1.3, 0.8), 0.3, 7
"""Between two points of a patch, before and after that fraction of the training, and its points across: large patches
find the surface, small ones its detail. Photos are made as coarse where they are finer. Five heads after 720 steps at
512 px: large ones alone 1.04 / 1.78 mm, small ones from 0.5 on 0.93 / 1.70; after 300 at 256 px 1.07 / 1.96 and 1.02 /
1.92. From 0.3 on is as good, and not later than a fit may turn to its end (`early_end.SETTLED`): the loss jumps."""
PATCHES = 256
"""A step."""
OTHERS = 2
"""Views that a patch is compared with, of those that see it."""
FACING = 0.35
"""Cosine between normal and way to the camera below which a patch is too foreshortened."""
NOISE = 3.0 / 255.0
"""Of the photos' grey: patches with less contrast say little."""
CLEAR_FROM, CLEAR_TO, CLEAR_SAMPLES, CLEAR_SDF = 0.03, 0.6, 16, -0.005
"""Where on the way from a point to a camera it is asked whether something hides it, in units of the unit ball, and the
SDF below which it does."""


@dataclass(frozen=True)
class Photos:
    """The photos of a head in grey, their masks and their cameras, on the device."""

    pictures: Float[Tensor, "1 2 views h w"]
    """Grey and mask, in [0, 1], all resized alike: places are fractions of width and height."""
    inwards: Float[Tensor, "views 3 3"]
    """An offset from the camera's centre, as a row, times this: right, down and ahead of the camera."""
    centres: Float[Tensor, "views 3"]
    focal: Float[Tensor, "views 2"]
    """Focal lengths in widths and heights of the photo."""
    middle: Float[Tensor, "views 2"]
    """Principal points."""
    pitch: float
    """In units of the unit ball."""

    @classmethod
    def of(cls, dataset: HeadDataset, device: torch.device | str, pitch_mm: float) -> Photos:
        """Read all photos of a split, for patches with so much between two points."""
        cameras, pitch = dataset.cameras.to(device), pitch_mm / dataset.metadata["frame"].radius_mm
        size = torch.cat([cameras.width, cameras.height], dim=1).float()
        focal = torch.cat([cameras.fx, cameras.fy], dim=1)
        c2w = cameras.camera_to_worlds
        pixel = c2w[:, :, 3].norm(dim=1) / focal[:, 0]
        width, height = (size * (pixel / pitch).clamp(max=1.0)[:, None]).amax(dim=0).round().int().tolist()
        pictures = [_grey_and_mask(dataset, view, (width, height)) for view in range(len(dataset))]
        return cls(
            pictures=torch.from_numpy(np.stack(pictures, axis=1))[None].to(device),
            # nerfstudio's cameras look along -z, +y up; a skew is among their axes, which then are not at right angles.
            inwards=torch.linalg.inv(c2w[:, :, :3] * c2w.new_tensor([1.0, -1.0, -1.0])).transpose(1, 2),
            centres=c2w[:, :, 3],
            focal=focal / size,
            middle=torch.cat([cameras.cx, cameras.cy], dim=1) / size,
            pitch=pitch,
        )

    def show(
        self, points: Float[Tensor, "n k 3"], views: Int[Tensor, "n m"], corrections: ViewCorrections | None = None
    ) -> Float[Tensor, "n m k 2"]:
        """Grey and mask of points in those of the views, 0 beside a photo; differentiable in the points."""
        place, longer = points[:, None], torch.ones_like(self.centres[:, 0])
        if corrections is not None:
            place, longer = corrections.points(points, views)
        inner = (place - self.centres[views][:, :, None]) @ self.inwards[views]
        focal = (longer[:, None] * self.focal)[views][:, :, None]
        where = focal * inner[..., :2] / inner[..., 2:].clamp(min=1e-3) + self.middle[views][:, :, None]
        count = len(self.centres)
        slices = ((views + 0.5) / count)[:, :, None, None].expand(*where.shape[:-1], 1)
        grid = 2.0 * torch.cat([where, slices], dim=-1) - 1.0
        return grid_sample(self.pictures, grid[None], align_corners=False)[0].permute(1, 2, 3, 0)

    def disagreement(
        self,
        points: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        views: Int[Tensor, " n"],
        sdf: Sdf,
        corrections: ViewCorrections | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the points of 1 - NCC, summed over the other views that see a point; needs two views at least.

        Args:
            points: of the surface, in the unit frame, with the graph that says how they move.
            normals: there, of any length; used as constants.
            views: whose rays met the points.
            sdf: a cheap one, for what hides a point; without a graph.
            corrections: how the cameras really stand.
        """
        fixed, normals = points.detach(), normalize(normals.detach(), dim=-1)
        towards = normalize(self.centres - fixed[:, None], dim=-1)
        sees = ((towards * normals[:, None]).sum(-1) > FACING) & ~hidden(sdf, fixed, towards)
        # Any view but the own, if none sees the point.
        chances = (sees + 1e-6).scatter(1, views[:, None], 0.0)
        others = torch.multinomial(chances, min(OTHERS, len(self.centres) - 1))
        compared = torch.cat([views[:, None], others], dim=1)
        shown = self.show(points[:, None] + self._patch(normals), compared, corrections)
        whole = shown[..., 1].detach().amin(dim=-1) > 0.5
        seen = whole & sees.gather(1, compared)
        grey = shown[..., 0] - shown[..., 0].mean(dim=-1, keepdim=True)
        contrast = (grey.square().mean(dim=-1) + NOISE**2).sqrt()
        alike = (grey[:, :1] * grey[:, 1:]).mean(dim=-1) / (contrast[:, :1] * contrast[:, 1:])
        return ((1.0 - alike) * (seen[:, :1] & seen[:, 1:])).sum() / max(1, len(points))

    def _patch(self, normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n k 3"]:
        """Points of a square in the tangent plane, from its middle."""
        across = normalize(torch.linalg.cross(normals, one_hot(normals.abs().argmin(dim=-1), 3).to(normals)), dim=-1)
        axes = torch.stack([across, torch.linalg.cross(normals, across)], dim=1)
        steps = self.pitch * (torch.arange(SIDE, device=normals.device) - SIDE // 2)
        return torch.cartesian_prod(steps, steps) @ axes


@torch.no_grad()
def hidden(sdf: Sdf, points: Float[Tensor, "n 3"], towards: Float[Tensor, "n views 3"]) -> Bool[Tensor, "n views"]:
    """Whether the surface stands between points and the cameras that lie in those directions."""
    t = torch.linspace(CLEAR_FROM, CLEAR_TO, CLEAR_SAMPLES, device=points.device)
    way = points[:, None, None] + t[:, None] * towards[:, :, None]
    return in_chunks(sdf, way).amin(dim=-1) < CLEAR_SDF


def _grey_and_mask(dataset: HeadDataset, view: int, size: tuple[int, int]) -> Float[np.ndarray, "2 h w"]:
    data = dataset.get_data(view, image_type="uint8")
    grey = Image.fromarray(data["image"].numpy()).convert("F")
    mask = Image.fromarray(255.0 * data["fg_mask"][..., 0].numpy())
    return np.stack([np.asarray(part.resize(size, Image.Resampling.BILINEAR)) / 255.0 for part in (grey, mask)])
