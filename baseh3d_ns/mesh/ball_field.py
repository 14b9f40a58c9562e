"""A signed distance field cut by the ball of radius 1, evaluated in chunks."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.rendering.chunks import Sdf, points_per_call


class NoSurfaceError(InputError):
    """A field without a zero crossing inside the unit ball."""


class FieldInBall:
    """f = max(sdf, |x| - 1) without gradients and in chunks; remembers the range of the SDF seen inside the ball."""

    def __init__(self, sdf: Sdf, device: torch.device) -> None:
        self.sdf, self.device = sdf, device
        self.chunk = points_per_call(device)
        self.lowest, self.highest = math.inf, -math.inf

    @torch.no_grad()
    def __call__(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        # The outermost lattice nodes lie a spacing outside the box, where the field need not be defined.
        distances = [self.sdf(part.clamp(-1.0, 1.0)).float() for part in points.split(self.chunk)]
        distance = torch.cat(distances) if distances else points.new_zeros(0)
        radius = points.norm(dim=-1)
        within = distance[radius <= 1.0]
        if len(within):
            # amin and amax keep NaN, min() and max() of Python floats would lose it.
            lowest, highest = float(within.amin()), float(within.amax())
            if not (math.isfinite(lowest) and math.isfinite(highest)):
                raise NoSurfaceError(
                    f"The SDF is not finite (smallest {lowest}, largest {highest}): training diverged; "
                    "export an earlier checkpoint, or train again with a smaller learning rate."
                )
            self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        return torch.maximum(distance, radius - 1.0)

    def no_surface(self) -> NoSurfaceError:
        """The error to raise when there is nothing to mesh, with its likely cause."""
        cause = (
            "everything counts as outside: training diverged or the masks are empty; look at the masks and at the mask "
            "loss, or start from a prior"
            if self.lowest > 0.0
            else "everything counts as inside: the masks may be inverted (white must be the head)"
            if self.highest <= 0.0
            else "what is inside is smaller than the spacing: choose a smaller spacing"
        )
        return NoSurfaceError(
            f"The SDF has no surface inside the unit ball (smallest value {self.lowest:.4g}, "
            f"largest {self.highest:.4g}); {cause}."
        )
