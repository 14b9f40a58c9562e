"""Photos as a texture takes colours from them: their cameras as refined, their exposure undone, split into octaves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.view_corrections import ViewCorrections

BLURS_MM = (8.0, 2.0)
"""Standard deviations, on the head, of the Gaussians that part the octaves of a photo, from coarse to fine."""
LEAST_WEIGHT = 1e-3
"""Share of a blur's weight that must lie within the silhouette."""


@dataclass(frozen=True)
class TexturePhotos:
    """Photos of a head with their cameras; points are in world millimetres."""

    dataset: HeadDataset
    corrections: ViewCorrections | None
    """Corrections of the training; None where it refined nothing."""

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def frame(self) -> SceneFrame:
        """Unit frame."""
        return self.dataset.metadata["frame"]

    @torch.no_grad()
    def centre_mm(self, view: int) -> Float[np.ndarray, " 3"]:
        """Centre of projection, as refined."""
        centre = self.dataset.metadata["camera_centres"][view][None]
        if self.corrections is not None:
            axis = self.dataset.metadata["camera_axes"][view][None]
            centre, _ = self.corrections.rays(centre, axis, torch.tensor([view]))
        return self.frame.to_world_mm(centre[0].double().numpy())

    @torch.no_grad()
    def project(self, points_mm: Float[np.ndarray, "n 3"], view: int) -> Float[Tensor, "n 2"]:
        """Column and row of points in a photo, pixel centres at +0.5; far outside for points behind its camera."""
        camera = self.dataset.cameras[view]
        points, factor = torch.from_numpy(self.frame.to_unit(points_mm)).float(), torch.tensor(1.0)
        if self.corrections is not None:
            moved, factors = self.corrections.points(points[None], torch.tensor([[view]]))
            points, factor = moved[0, 0], factors[view]
        c2w = camera.camera_to_worlds
        # nerfstudio's cameras look along -z, +y up; a skew is among their axes, which then are not at right angles.
        world_to_camera = torch.linalg.inv(c2w[:, :3] * c2w.new_tensor([1.0, -1.0, -1.0])).T
        in_camera = (points - c2w[:, 3]) @ world_to_camera
        focal = factor * torch.cat([camera.fx, camera.fy])
        return focal * in_camera[:, :2] / in_camera[:, 2:].clamp(min=1e-6) + torch.cat([camera.cx, camera.cy])

    @torch.no_grad()
    def octaves(self, view: int) -> Float[Tensor, "octaves 3 h w"]:
        """sRGB colours of a photo, from its coarsest octave to its finest; their sum is the photo without its exposure.

        Blurs are normalised within the silhouette, so that no background bleeds into the head.
        """
        rgb = torch.from_numpy(self.dataset.photo(view).copy()).float() / 255.0
        if self.corrections is not None:
            views = torch.tensor([view])
            black, white = (self.corrections.colours(torch.full((1, 3), level), views) for level in (0.0, 1.0))
            rgb = (rgb - black) / (white - black)
        photo, inside = rgb.numpy(), self.inside(view)
        pixels_per_mm = self._pixels_per_mm(view)
        blurred = [_blur(photo, inside, sigma_mm * pixels_per_mm) for sigma_mm in BLURS_MM] + [photo]
        parts = [blurred[0], *(fine - coarse for coarse, fine in zip(blurred, blurred[1:], strict=False))]
        return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)

    def inside(self, view: int) -> Float[np.ndarray, "h w"]:
        """1 where a photo is known to show the head."""
        return (self.dataset.mask(view) & self.dataset.known(view)).astype(np.float32)

    def _pixels_per_mm(self, view: int) -> float:
        """Scale of a photo where the head is."""
        distance_mm = np.linalg.norm(self.centre_mm(view) - np.asarray(self.frame.centre_mm))
        return float(self.dataset.cameras.fx[view, 0]) / float(distance_mm)


def sample(picture: Float[Tensor, "c h w"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n c"]:
    """Bilinear samples of a picture at columns and rows; 0 outside of it."""
    grid = 2.0 * pixels / pixels.new_tensor([picture.shape[2], picture.shape[1]]) - 1.0
    return grid_sample(picture[None], grid[None, None], align_corners=False)[0, :, 0].T


def _blur(
    photo: Float[np.ndarray, "h w 3"], inside: Float[np.ndarray, "h w"], sigma_px: float
) -> Float[np.ndarray, "h w 3"]:
    """Gaussian blur of a photo by its pixels within a mask; meaningless far from it."""
    weight = cv2.GaussianBlur(inside, (0, 0), sigma_px)
    total = cv2.GaussianBlur(photo * inside[..., None], (0, 0), sigma_px)
    return total / np.maximum(weight, LEAST_WEIGHT)[..., None]
