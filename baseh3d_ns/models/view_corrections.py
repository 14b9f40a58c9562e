"""Corrections of every view, learned with the head: pose, focal length, exposure, white balance, black point.

Corrections are relative: the part that all views share is removed (the mean, and cameras that move apart as if the head
had shrunk), so that the head as a whole cannot move, turn, grow or change colour, and a single view is left as it is.
They belong to the photos and are left out of meshes and renders.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from torch import Tensor, nn
from torch.nn.functional import normalize

TYPICAL_TRANSLATION, TYPICAL_ROTATION = 0.02, 0.002
"""Typical error of a view's pose: in units of the unit ball, in radians."""
TYPICAL_FOCAL, TYPICAL_COLOUR = 0.003, 0.05
"""Typical relative error of a focal length, and of exposure, white balance and black point."""


class ViewCorrections(nn.Module):
    """A small rigid motion about the unit ball's centre, a factor on the focal length, a gain and an offset a view.

    Motions about the camera's own centre, as in nerfstudio's `CameraOptimizer`, would hide a motion common to all views
    (equal and opposite turns shift the head); about the ball's centre it is their mean.
    """

    axes: Tensor
    centres: Tensor

    def __init__(self, axes: Float[Tensor, "views 3"], centres: Float[Tensor, "views 3"]) -> None:
        super().__init__()
        views = len(axes)
        self.register_buffer("axes", axes.clone(), persistent=False)
        self.register_buffer("centres", centres.clone(), persistent=False)
        self.pose = nn.Parameter(torch.zeros(views, 6))
        """Translation, then rotation vector, in units of the typical error."""
        self.focal = nn.Parameter(torch.zeros(views))
        """Logarithm of the factor, in units of the typical error."""
        self.colour = nn.Parameter(torch.zeros(views, 2, 3))
        """Log gain and offset of red, green and blue, in units of the typical error."""

    def learn(self, cameras: bool, colours: bool) -> None:
        """Let the next step change these corrections, and no others."""
        self.pose.requires_grad_(cameras)
        self.focal.requires_grad_(cameras)
        self.colour.requires_grad_(colours)

    def rays(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        views: Int[Tensor, " rays"],
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        """The rays of the corrected cameras; directions stay unit."""
        motion = exp_map_SO3xR3(self.motions())[views]
        axes, focal_factor = self.axes[views], self.focal_factors()[views, None]
        along = (directions * axes).sum(-1, keepdim=True) * axes
        zoomed = normalize(along + (directions - along) / focal_factor, dim=-1)
        rotation, translation = motion[:, :, :3], motion[:, :, 3]
        return (rotation @ origins[..., None])[..., 0] + translation, (rotation @ zoomed[..., None])[..., 0]

    def points(
        self, points: Float[Tensor, "n k 3"], views: Int[Tensor, "n m"]
    ) -> tuple[Float[Tensor, "n m k 3"], Float[Tensor, " views"]]:
        """Points moved so that the given cameras see them as the corrected ones see `points`, and all views' factors on
        the focal length: the inverse of `rays`."""
        motion = exp_map_SO3xR3(self.motions())[views]
        rotation, translation = motion[..., :3], motion[..., 3]
        return (points[:, None] - translation[:, :, None]) @ rotation, self.focal_factors()

    def focal_factors(self) -> Float[Tensor, " views"]:
        """Factors on the focal lengths."""
        return (_relative(self.focal) * TYPICAL_FOCAL).exp()

    def motions(self) -> Float[Tensor, "views 6"]:
        """Translation and rotation vector of every view, without the part that all of them share."""
        translations, rotations = _relative(self.pose).split(3, dim=1)
        apart = _relative(self.centres)
        growth = (translations * apart).sum() / apart.square().sum().clamp(min=1e-9)
        return torch.cat([TYPICAL_TRANSLATION * (translations - growth * apart), TYPICAL_ROTATION * rotations], dim=1)

    def colours(self, rgb: Float[Tensor, "rays 3"], views: Int[Tensor, " rays"]) -> Float[Tensor, "rays 3"]:
        """The head's colours with every view's gain and offset."""
        gain, offset = (_relative(self.colour) * TYPICAL_COLOUR).unbind(dim=1)
        return rgb * gain.exp()[views] + offset[views]

    def penalty(self) -> Float[Tensor, ""]:
        """Mean square of all corrections in units of their typical error."""
        return torch.cat([part.flatten() for part in (self.pose, self.focal, self.colour)]).square().mean()


def _relative(corrections: Float[Tensor, "views *n"]) -> Float[Tensor, "views *n"]:
    """Corrections without their mean over the views."""
    return corrections - corrections.mean(dim=0, keepdim=True)
