"""Similarity from the unit frame of a head being fitted to the frame of its networks, that of the prior."""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from torch import Tensor, nn
from torch.nn.functional import pad


class Placement(nn.Module):
    """x_network = scale * rotation @ x_unit + translation; the identity for a head that starts from no prior.

    One parameter of seven numbers: log scale, rotation vector (axis times angle, in radians), translation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.similarity = nn.Parameter(torch.zeros(7), requires_grad=False)

    @property
    def scale(self) -> Float[Tensor, ""]:
        """Ratio of lengths in the networks' frame to lengths in the unit frame."""
        return self.similarity[0].exp()

    @property
    def rotation(self) -> Float[Tensor, "3 3"]:
        """Rotation matrix from the unit frame to the networks' frame."""
        return exp_map_SO3xR3(pad(self.similarity[1:4], (3, 0))[None])[0, :, :3]

    @property
    def translation(self) -> Float[Tensor, " 3"]:
        """The unit frame's origin in the networks' frame."""
        return self.similarity[4:]

    def points(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Unit frame -> networks' frame."""
        return self.scale * points @ self.rotation.T + self.translation

    def directions(self, directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Directions, and gradients of a distance: unit frame -> networks' frame, rotated only."""
        return directions @ self.rotation.T

    def turned_from(self, other: Placement) -> Float[Tensor, " 3"]:
        """Axis of the rotation from `other` to this one, in the networks' frame, times the sine of its angle."""
        relative = self.rotation @ other.rotation.T
        x, y, z = relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]
        return torch.stack([x, y, z]) / 2.0

    @torch.no_grad()
    def follow(self, first: Placement) -> None:
        """Become the composition of `first` and then the old placement: x -> self(first(x))."""
        from scipy.spatial.transform import Rotation

        translation = self.points(first.translation)
        matrix = (self.rotation @ first.rotation).cpu().double().numpy()
        self.similarity[0] += first.similarity[0]
        self.similarity[1:4] = self.similarity.new_tensor(Rotation.from_matrix(matrix).as_rotvec().tolist())
        self.similarity[4:] = translation
