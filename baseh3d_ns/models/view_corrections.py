"""What a capture gets slightly wrong in every view, learned with the head: pose, focal length, exposure, white balance.

Corrections are relative: what all views share is removed (the mean, and cameras that move apart as if the head had
shrunk), so that the head as a whole cannot move, turn, grow or change colour, and a single view is left as it is. They
belong to the photos and are left out of meshes and renders.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from torch import Tensor, nn
from torch.nn.functional import normalize

TYPICAL_SHIFT, TYPICAL_TURN = 0.02, 0.002
"""Of the head as a view sees it: in units of the unit ball (3 mm), in radians (0.3 degrees)."""
TYPICAL_FOCAL, TYPICAL_COLOUR = 0.003, 0.05
"""Relative error of a focal length; of exposure and white balance, and of the black point."""


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
        """Shift, then rotation vector, in units of what is typical."""
        self.focal = nn.Parameter(torch.zeros(views))
        """Logarithm, in units of what is typical."""
        self.colour = nn.Parameter(torch.zeros(views, 2, 3))
        """Log gain and offset, in units of what is typical."""

    def learn(self, cameras: bool, colours: bool) -> None:
        """Which corrections the next step may change."""
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
        motion = exp_map_SO3xR3(self._motions())[views]
        axes, longer = self.axes[views], (_relative(self.focal) * TYPICAL_FOCAL).exp()[views, None]
        along = (directions * axes).sum(-1, keepdim=True) * axes
        zoomed = normalize(along + (directions - along) / longer, dim=-1)
        turn, shift = motion[:, :, :3], motion[:, :, 3]
        return (turn @ origins[..., None])[..., 0] + shift, (turn @ zoomed[..., None])[..., 0]

    def points(
        self, points: Float[Tensor, "n k 3"], views: Int[Tensor, "n m"]
    ) -> tuple[Float[Tensor, "n m k 3"], Float[Tensor, " views"]]:
        """Where the given cameras see what the corrected ones see at `points`, and all views' factors on the focal
        length: what `rays` does, the other way."""
        motion = exp_map_SO3xR3(self._motions())[views]
        turn, shift = motion[..., :3], motion[..., 3]
        return (points[:, None] - shift[:, :, None]) @ turn, (_relative(self.focal) * TYPICAL_FOCAL).exp()

    def _motions(self) -> Float[Tensor, "views 6"]:
        """Shift and rotation vector of every view, without what all of them share."""
        shifts, turns = _relative(self.pose).split(3, dim=1)
        apart = _relative(self.centres)
        growth = (shifts * apart).sum() / apart.square().sum().clamp(min=1e-9)
        return torch.cat([TYPICAL_SHIFT * (shifts - growth * apart), TYPICAL_TURN * turns], dim=1)

    def colours(self, rgb: Float[Tensor, "rays 3"], views: Int[Tensor, " rays"]) -> Float[Tensor, "rays 3"]:
        """The head's colours as the photos show them."""
        gain, offset = (_relative(self.colour) * TYPICAL_COLOUR).unbind(dim=1)
        return rgb * gain.exp()[views] + offset[views]

    def penalty(self) -> Float[Tensor, ""]:
        """Mean square of all corrections in units of what is typical."""
        return torch.cat([part.flatten() for part in (self.pose, self.focal, self.colour)]).square().mean()


def _relative(corrections: Float[Tensor, "views *n"]) -> Float[Tensor, "views *n"]:
    return corrections - corrections.mean(dim=0, keepdim=True)
