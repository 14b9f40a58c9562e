"""Photo consistency: patches of the surface must look alike in all photos that see them.

A colour network says what a point looks like from everywhere, but is too smooth to notice that a cheek stands a
millimetre too far back. Photos compared with each other notice it. Source: Fu et al., "Geo-Neus: Geometry-Consistent
Neural Implicit Surfaces Learning for Multi-view Reconstruction", NeurIPS 2022, section 3.3: patches of the tangent
plane, compared by normalised cross-correlation (NCC), which ignores gain and offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, normalize, one_hot

from baseh3d_ns.bounds import Count, Fraction, Positive, SignedFraction, Weight
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.views import world_to_camera_axes
from baseh3d_ns.models.compared_photos import grey_and_mask, noise_level, without_shading
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.chunks import Sdf, in_chunks


@dataclass
class PhotoConfig:
    """Settings of photo consistency; lengths in units of the unit ball unless their name says mm."""

    weight: Weight = 0.0
    """Weight of 1 - NCC of the surface's patches in one photo and in the others that see them; 0: off. Occlusion is
    looked up in the cached SDF grid; the sphere tracer has none, so there it costs calls of the network."""
    spacings_mm: tuple[Positive, Positive] = (1.3, 0.8)
    """Distance between two points of a patch, early and late in the training, in millimetres: large patches find the
    surface, small ones its detail. Photos that are finer are made as coarse."""
    small_from: Fraction = 0.3
    """Fraction of the training after which patches are small."""
    side: Annotated[int, Ge(2)] = 7
    """Points across a patch."""
    patches: Count = 256
    """Patches a step."""
    compared_views: Count = 2
    """Views that a patch is compared with, among those that see it."""
    min_cos_incidence: SignedFraction = 0.35
    """Cosine between normal and direction to the camera below which a patch is too foreshortened."""
    high_pass: tuple[Weight, Weight] = (0.0, 2.0)
    """Standard deviation of the blur that is taken away from the photos, early and late in the training, in distances
    between two points of a patch; 0: none. Shading and gloss are smooth and pull the surface inwards, so that small
    patches do without; large ones keep them, since a smooth nose shows little else that tells how long it is."""
    noise: Positive = 1.5 / 255.0
    """Noise level of the grey values in [0, 1], added to the NCC's denominator: textureless patches weigh little."""
    shading_noise: Positive = 3.0 / 255.0
    """The same for photos that keep their shading: where the high-pass is 0, and where at least that much noise is
    measured, since noise would be all that their patches show without it."""
    occlusion_range: tuple[Weight, Weight] = (0.03, 0.6)
    """Distances from a point towards a camera between which occlusion is looked for, in units of the unit ball."""
    occlusion_samples: Count = 16
    """Samples on that way."""
    occlusion_sdf: SignedFraction = -0.005
    """SDF below which a sample occludes the point, in units of the unit ball."""


@dataclass(frozen=True)
class Photos:
    """The photos of a head in grey, their masks and their cameras, on the device."""

    pictures: Float[Tensor, "1 2 views h w"]
    """Grey, with or without shading, and known head, all resized alike: positions are fractions of width and height."""
    world_to_camera: Float[Tensor, "views 3 3"]
    """World-to-camera axes (OpenCV, skew included): `row_vector @ world_to_camera`."""
    centres: Float[Tensor, "views 3"]
    """Camera centres in the unit frame."""
    focal: Float[Tensor, "views 2"]
    """Focal lengths in widths and heights of the photo."""
    principal_point: Float[Tensor, "views 2"]
    """Principal points in widths and heights of the photo."""
    spacing: float
    """Distance between two points of a patch, in units of the unit ball."""
    noise: float
    """Noise level of the grey values, added to the NCC's denominator."""
    config: PhotoConfig

    @classmethod
    def read(
        cls,
        dataset: HeadDataset,
        device: torch.device | str,
        spacing_mm: float,
        config: PhotoConfig,
        high_pass: float = 0.0,
    ) -> Photos:
        """All photos of a split, as coarse as patches with that spacing need them, less a blur (see `PhotoConfig`)."""
        cameras, spacing = dataset.cameras.to(device), spacing_mm / dataset.metadata["frame"].radius_mm
        size = torch.cat([cameras.width, cameras.height], dim=1).float()
        focal = torch.cat([cameras.fx, cameras.fy], dim=1)
        c2w = cameras.camera_to_worlds
        pixel = c2w[:, :, 3].norm(dim=1) / focal[:, 0]
        width, height = (size * (pixel / spacing).clamp(max=1.0)[:, None]).amax(dim=0).round().int().tolist()
        pictures = np.stack([grey_and_mask(dataset, view, (width, height)) for view in range(len(dataset))])
        loses_shading = high_pass > 0.0 and noise_level(pictures) < config.shading_noise
        if loses_shading:
            sigma_px = high_pass * spacing / pixel * width / size[:, 0]
            pictures = np.stack([without_shading(*each) for each in zip(pictures, sigma_px.tolist(), strict=True)])
        return cls(
            pictures=torch.from_numpy(np.stack(pictures, axis=1))[None].to(device),
            world_to_camera=world_to_camera_axes(c2w),
            centres=c2w[:, :, 3],
            focal=focal / size,
            principal_point=torch.cat([cameras.cx, cameras.cy], dim=1) / size,
            spacing=spacing,
            noise=config.noise if loses_shading else config.shading_noise,
            config=config,
        )

    def sample(
        self, points: Float[Tensor, "n k 3"], views: Int[Tensor, "n m"], corrections: ViewCorrections | None = None
    ) -> Float[Tensor, "n m k 2"]:
        """Grey and mask at the projections of points into some of the views, 0 outside a photo; differentiable."""
        seen, focal_factor = points[:, None], torch.ones_like(self.centres[:, 0])
        if corrections is not None:
            seen, focal_factor = corrections.points(points, views)
        in_camera = (seen - self.centres[views][:, :, None]) @ self.world_to_camera[views]
        focal = (focal_factor[:, None] * self.focal)[views][:, :, None]
        projected = focal * in_camera[..., :2] / in_camera[..., 2:].clamp(min=1e-3)
        position = projected + self.principal_point[views][:, :, None]
        count = len(self.centres)
        slices = ((views + 0.5) / count)[:, :, None, None].expand(*position.shape[:-1], 1)
        grid = 2.0 * torch.cat([position, slices], dim=-1) - 1.0
        return grid_sample(self.pictures, grid[None], align_corners=False)[0].permute(1, 2, 3, 0)

    def ncc_loss(
        self,
        points: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        views: Int[Tensor, " n"],
        sdf: Sdf,
        corrections: ViewCorrections | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the points of 1 - NCC, summed over the compared views that see a point; needs two views at least.

        Args:
            points: surface points in the unit frame, with the graph that says how they move.
            normals: normals there, of any length; used as constants.
            views: views whose rays met the points.
            sdf: a cheap SDF, for occlusion; without a graph.
            corrections: corrections of the cameras.
        """
        ncc, seen = self.compare(points, normals, views, sdf, corrections)
        return ((1.0 - ncc) * seen).sum() / max(1, len(points))

    def compare(
        self,
        points: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        views: Int[Tensor, " n"],
        sdf: Sdf,
        corrections: ViewCorrections | None = None,
    ) -> tuple[Float[Tensor, "n m"], Bool[Tensor, "n m"]]:
        """NCC of the patch of every point between its own view and m others drawn from those that see it, and whether
        both views of a pair do see it; the arguments are those of `ncc_loss`."""
        config = self.config
        fixed, normals = points.detach(), normalize(normals.detach(), dim=-1)
        towards = normalize(self.centres - fixed[:, None], dim=-1)
        visible = ((towards * normals[:, None]).sum(-1) > config.min_cos_incidence) & ~occluded(
            sdf, fixed, towards, config
        )
        # Any view but the own, if none sees the point.
        chances = (visible + 1e-6).scatter(1, views[:, None], 0.0)
        others = torch.multinomial(chances, min(config.compared_views, len(self.centres) - 1))
        compared = torch.cat([views[:, None], others], dim=1)
        shown = self.sample(points[:, None] + self._patch(normals), compared, corrections)
        whole = shown[..., 1].detach().amin(dim=-1) > 0.5
        counts = whole & visible.gather(1, compared)
        ncc = normalised_cross_correlation(shown[:, :1, :, 0], shown[:, 1:, :, 0], self.noise)
        return ncc, counts[:, :1] & counts[:, 1:]

    def _patch(self, normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n k 3"]:
        """Offsets of a square of points in the tangent plane from its centre."""
        across = normalize(torch.linalg.cross(normals, one_hot(normals.abs().argmin(dim=-1), 3).to(normals)), dim=-1)
        axes = torch.stack([across, torch.linalg.cross(normals, across)], dim=1)
        side = self.config.side
        steps = self.spacing * (torch.arange(side, device=normals.device) - side // 2)
        return torch.cartesian_prod(steps, steps) @ axes


def normalised_cross_correlation(
    one: Float[Tensor, "*n k"], other: Float[Tensor, "*m k"], noise: float
) -> Float[Tensor, "*p"]:
    """NCC of patches with k grey values, in [-1, 1]; `noise` damps it where a patch has little contrast."""
    one, other = (patch - patch.mean(dim=-1, keepdim=True) for patch in (one, other))
    contrast, other_contrast = ((patch.square().mean(dim=-1) + noise**2).sqrt() for patch in (one, other))
    return (one * other).mean(dim=-1) / (contrast * other_contrast)


@torch.no_grad()
def occluded(
    sdf: Sdf, points: Float[Tensor, "n 3"], towards: Float[Tensor, "n views 3"], config: PhotoConfig
) -> Bool[Tensor, "n views"]:
    """Whether the surface stands between points and the cameras that lie in those directions."""
    t = torch.linspace(*config.occlusion_range, config.occlusion_samples, device=points.device)
    way = points[:, None, None] + t[:, None] * towards[:, :, None]
    return in_chunks(sdf, way).amin(dim=-1) < config.occlusion_sdf
