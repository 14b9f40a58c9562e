"""What the photos never see stays the prior's: its SDF, held where no training ray has passed.

Few-shot losses say nothing about the back of a head, so the networks drift there. The anchor is a fixed set of points
near the placed prior's surface; those that the rays of the photos reach before they enter the head are left out. A
single photo shows no depth: then only those are left out that it shows to be beside the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import uniform_samples

POINTS, DRAWS = 1 << 14, 12
"""Held points, and how often four times as many are drawn to find them."""
SHELL = 0.15
"""Points lie within this distance of the prior's surface, in units of the unit ball (2 cm)."""
CELLS = 40
"""Of the grid that remembers where rays have passed, along an axis of the unit ball's box (a cell is 8 mm)."""
RAYS = 1 << 14
"""That ask which points are seen."""
DEPTH = 0.05
"""How far below the surface a ray is still taken to see, in units of the unit ball (8 mm): the surface may move."""


@dataclass(frozen=True)
class Held:
    """Some points that no ray has seen, with the prior there."""

    points: Float[Tensor, "n 3"]
    sdf: Float[Tensor, " n"]
    gradient: Float[Tensor, "n 3"]
    trust: Float[Tensor, ""]

    def difference(self, sdf: Float[Tensor, " n"], gradient: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
        """Mean |f - prior's f| plus mean |grad f - prior's grad f|^2: the second keeps the shape where the first,
        pulled at by what the photos show next to it, gives way."""
        if not len(self.points):
            return sdf.sum()
        change = (sdf - self.sdf).abs().mean() + (gradient - self.gradient).square().sum(-1).mean()
        return self.trust * change


class PriorAnchor(nn.Module):
    """Points with the prior's SDF and gradient, and which of them no ray has seen."""

    points: Tensor
    sdf: Tensor
    gradient: Tensor
    trust: Tensor

    def __init__(self, one_view: bool) -> None:
        super().__init__()
        self.one_view = one_view
        # In the state dict, so that a resumed training is held by the same prior.
        self.register_buffer("points", torch.zeros(POINTS, 3))
        self.register_buffer("sdf", torch.zeros(POINTS))
        self.register_buffer("gradient", torch.zeros(POINTS, 3))
        self.register_buffer("trust", torch.zeros(()))
        self.unseen: Int[Tensor, " n"] = torch.zeros(0, dtype=torch.long)
        self.grid = GridTracer(64)

    @torch.no_grad()
    def hold(self, field: HeadField, trust: float) -> None:
        """Remember the prior as it lies in `field`; `trust` in [0, 1] is a factor on the loss."""
        device = self.points.device
        near = torch.zeros(0, 3, device=device)
        for _ in range(DRAWS):
            points = torch.rand(4 * POINTS, 3, device=device) * 2.0 - 1.0
            points = points[points.norm(dim=-1) < 1.0]
            near = torch.cat([near, points[field.sdf(points).abs() < SHELL]])[:POINTS]
        if len(near) < POINTS:
            return  # no surface to speak of in the ball
        self.points.copy_(near)
        sdf, _, gradient = field.with_gradient(near, create_graph=False)
        self.sdf.copy_(sdf)
        self.gradient.copy_(gradient)
        self.trust.fill_(trust)

    @torch.no_grad()
    def look(
        self,
        field: HeadField,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        inside: Bool[Tensor, " rays"],
    ) -> None:
        """Find the points that none of these rays reaches before it is `DEPTH` inside the head.

        Args:
            inside: which rays lie in the masks; of a single view, only the others see anything.
        """
        seen = torch.zeros(CELLS**3, dtype=torch.bool, device=self.points.device)
        if self.one_view:
            near, far, _ = intersect_unit_ball(origins, directions)
            t = uniform_samples(near, far, self.grid.samples, jitter=False)
            passed = ~inside[:, None].expand_as(t)
        else:
            self.grid.refresh(field.sdf, self.points.device)
            t, values, _ = self.grid.samples_along(origins, directions, jitter=False)
            passed = values.cummin(dim=1).values > -DEPTH
        seen[_cells(points_along(origins, directions, t)[passed])] = True
        self.unseen = torch.nonzero(~seen[_cells(self.points)])[:, 0]

    def draw(self, count: int) -> Held:
        """Unseen points; none when all are seen."""
        unseen = self.unseen if self.trust > 0 else self.unseen[:0]
        if len(unseen):
            unseen = unseen[torch.randint(len(unseen), (count,), device=unseen.device)]
        return Held(self.points[unseen], self.sdf[unseen], self.gradient[unseen], self.trust)


def _cells(points: Float[Tensor, "n 3"]) -> Int[Tensor, " n"]:
    x, y, z = ((points.clamp(-1.0, 1.0) + 1.0) * (0.5 * CELLS)).long().clamp(max=CELLS - 1).unbind(dim=-1)
    return (x * CELLS + y) * CELLS + z
