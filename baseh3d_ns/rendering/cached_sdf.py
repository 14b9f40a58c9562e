"""SDF values cached at the corners of a cubic grid over the unit ball."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from baseh3d_ns.rendering.chunks import Sdf, in_chunks


@dataclass(frozen=True, eq=False)
class CachedSdf:
    """Values at the corners of cubic cells; the first axis is z, the last is x."""

    values: Float[Tensor, "1 1 g g g"]

    @property
    def cell(self) -> float:
        """Edge of a grid cell in units of the unit ball."""
        return 2.0 / (self.values.shape[-1] - 1)

    def __call__(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
        """Trilinearly interpolated SDF, outside the box that of its border; differentiable in the points."""
        flat = points.reshape(1, 1, 1, -1, 3)
        values = grid_sample(self.values, flat, align_corners=True, padding_mode="border")
        return values.view(points.shape[:-1])

    @torch.no_grad()
    def halved(self, sdf: Sdf) -> CachedSdf:
        """The same on cells of half the edge, with the network's values within a cell of the surface."""
        size = 2 * self.values.shape[-1] - 1
        values = interpolate(self.values, size=(size,) * 3, mode="trilinear", align_corners=True)
        near = values[0, 0].abs() < self.cell
        points = near.nonzero().flip(-1).to(values) * (2.0 / (size - 1)) - 1.0
        values[0, 0][near] = in_chunks(sdf, points)
        return CachedSdf(values)

    def box(self, reach: float) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of the box of all cells where the SDF is less than `reach`; zero without any."""
        index = (self.values[0, 0] < reach).nonzero()
        if not len(index):
            return self.values.new_zeros(2, 3)
        ends = torch.stack([index.amin(dim=0) - 1, index.amax(dim=0) + 1]).flip(-1)
        return ends.to(self.values) * self.cell - 1.0
