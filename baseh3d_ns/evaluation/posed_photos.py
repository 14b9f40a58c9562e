"""Photos of a head with their cameras as the training has refined them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.views import world_to_camera_axes
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.view_corrections import ViewCorrections


@dataclass(frozen=True)
class PosedPhotos:
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
        in_camera = (points - c2w[:, 3]) @ world_to_camera_axes(c2w)
        focal = factor * torch.cat([camera.fx, camera.fy])
        return focal * in_camera[:, :2] / in_camera[:, 2:].clamp(min=1e-6) + torch.cat([camera.cx, camera.cy])

    def inside(self, view: int) -> Float[np.ndarray, "h w"]:
        """1 where a photo is known to show the head."""
        return (self.dataset.mask(view) & self.dataset.known(view)).astype(np.float32)

    def pixels_per_mm(self, view: int) -> float:
        """Scale of a photo where the head is."""
        distance_mm = np.linalg.norm(self.centre_mm(view) - np.asarray(self.frame.centre_mm))
        return float(self.dataset.cameras.fx[view, 0]) / float(distance_mm)
