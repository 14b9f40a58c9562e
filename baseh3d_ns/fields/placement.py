"""Where the frame of a field's networks, a prior's, lies in the unit frame of the head being fitted."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Placement(nn.Module):
    """x_network = scale * rotation @ x_unit + shift; the identity for a head that starts from no prior.

    One parameter of seven numbers: log scale, rotation vector (axis times angle), shift.
    """

    def __init__(self) -> None:
        super().__init__()
        self.similarity = nn.Parameter(torch.zeros(7), requires_grad=False)

    @property
    def scale(self) -> Float[Tensor, ""]:
        """Lengths in the networks' frame over lengths in the unit frame."""
        return self.similarity[0].exp()

    @property
    def rotation(self) -> Float[Tensor, "3 3"]:
        """From the unit frame's axes to the networks'."""
        x, y, z = self.similarity[1:4]
        zero = torch.zeros_like(x)
        return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3))

    @property
    def shift(self) -> Float[Tensor, " 3"]:
        """Where the unit frame's origin lies in the networks' frame."""
        return self.similarity[4:]

    def points(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Unit frame -> networks' frame."""
        return self.scale * points @ self.rotation.T + self.shift

    def directions(self, directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Directions, and gradients of a distance: turned only."""
        return directions @ self.rotation.T

    def turned_from(self, other: Placement) -> Float[Tensor, " 3"]:
        """Axis of the turn from `other` to this one, in the networks' frame, times the sine of its angle."""
        turn = self.rotation @ other.rotation.T
        return torch.stack([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2.0

    @torch.no_grad()
    def follow(self, first: Placement) -> None:
        """Become `first`, then what this was: the networks move to the unit frame that `first` maps from."""
        from scipy.spatial.transform import Rotation

        shift = self.points(first.shift)
        turn = Rotation.from_matrix((self.rotation @ first.rotation).cpu().double().numpy()).as_rotvec()
        self.similarity[0] += first.similarity[0]
        self.similarity[1:4] = self.similarity.new_tensor(turn.tolist())
        self.similarity[4:] = shift
