"""Prior anchor: where no photo sees the head, its SDF is held near the placed prior's.

Few-shot losses say nothing about the back of a head, so the networks drift there. The anchor is a fixed set of points
near the placed prior's surface; points that the photos' rays reach before they enter the head are visible and left
out. A single photo shows no depth: then only points are left out that it shows to be beside the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

from baseh3d_ns.bounds import Count, GridCells, Positive, Weight
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import uniform_samples

DRAWS = 12
"""Draws, of four times as many points as are held, from the unit ball until enough lie near the surface."""


@dataclass
class AnchorConfig:
    """Settings of the prior anchor; lengths in units of the unit ball."""

    weight: Weight = 0.0
    """Weight of the difference of SDF and gradient from the placed shape space's where no training ray has passed; 0:
    off. With several views, a prior that is not placed (--register) is no anchor, and the prior of one head neither:
    its unseen parts are another person's."""
    one_view_weight: Weight = 0.0
    """The same weight, or `weight` if that is larger, for a training with a single view: one photo shows no depth, so
    everything is held but what it shows to be beside the head."""
    points: Count = 1 << 14
    """Points that are held."""
    shell: Positive = 0.15
    """Distance from the prior's surface within which they lie, in units of the unit ball."""
    visibility_steps: Count = 100
    """Training steps between two updates of the visibility."""
    visibility_rays: Count = 1 << 14
    """Rays traced per update."""
    visibility_cells: GridCells = 40
    """Cells of the grid that remembers where rays have passed, along an axis of the unit ball's box."""
    depth: Weight = 0.05
    """Depth below the surface down to which a ray still sees, in units of the unit ball: the surface may move."""
    grid_cells: GridCells = 64
    """Cells along an axis of the SDF grid that those rays are traced on."""


@dataclass(frozen=True)
class AnchorSamples:
    """Points that no ray has seen, with the prior's SDF and gradient there."""

    points: Float[Tensor, "n 3"]
    sdf: Float[Tensor, " n"]
    gradient: Float[Tensor, "n 3"]
    confidence: Float[Tensor, ""]
    """Factor on the loss, in [0, 1]."""
    apart: float
    """Half the width of a cell of the visibility, in units of the unit ball."""

    def loss(self, sdf: Float[Tensor, " n"], gradient: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
        """Mean |f - prior's f| plus mean |grad f - prior's grad f|^2 of the present field at the points.

        The second keeps the shape where the first gives way, pulled at by what the photos show next to it.
        """
        if not len(self.points):
            return sdf.sum()
        change = (sdf - self.sdf).abs().mean() + (gradient - self.gradient).square().sum(-1).mean()
        return self.confidence * change

    def nearby(self) -> Float[Tensor, "n 3"]:
        """Random points about the held ones, which lie farther apart than the cells of a detail grid."""
        return self.points + self.apart * (2.0 * torch.rand_like(self.points) - 1.0)

    def no_detail_loss(self, added: Float[Tensor, " n"], gradient: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
        """Mean size of what a detail grid adds to SDF and gradient where no photo sees, beyond the prior's own."""
        if not len(self.points):
            return added.sum()
        return self.confidence * (added.abs().mean() + gradient.square().sum(-1).mean())


class PriorAnchor(nn.Module):
    """Points with the prior's SDF and gradient, and the visibility of each."""

    config: AnchorConfig
    points: Tensor
    sdf: Tensor
    gradient: Tensor
    confidence: Tensor

    def __init__(self, config: AnchorConfig, one_view: bool) -> None:
        super().__init__()
        self.config, self.one_view = config, one_view
        # In the state dict, so that a resumed training is held by the same prior.
        self.register_buffer("points", torch.zeros(config.points, 3))
        self.register_buffer("sdf", torch.zeros(config.points))
        self.register_buffer("gradient", torch.zeros(config.points, 3))
        self.register_buffer("confidence", torch.zeros(()))
        self.unseen: Int[Tensor, " n"] = torch.zeros(0, dtype=torch.long)
        self.grid = GridTracer(config.grid_cells)

    @property
    def weight(self) -> float:
        """Weight of the loss."""
        return max(self.config.weight, self.config.one_view_weight) if self.one_view else self.config.weight

    def visibility_is_due(self, step: int) -> bool:
        """Whether the visibility is to be updated before a training step."""
        return bool(self.confidence > 0) and (step % self.config.visibility_steps == 0 or not len(self.unseen))

    @torch.no_grad()
    def set_reference(self, field: HeadField, confidence: float) -> None:
        """Remember the prior as it lies in `field`; `confidence` in [0, 1] is a factor on the loss.

        Where too few points lie near its surface, nothing is held, with a line in the log.
        """
        device = self.points.device
        near = torch.zeros(0, 3, device=device)
        for _ in range(DRAWS):
            points = torch.rand(4 * self.config.points, 3, device=device) * 2.0 - 1.0
            if len(near) == self.config.points:
                continue  # the draw alone, so that a seed gives the same numbers after it for every prior
            points = points[points.norm(dim=-1) < 1.0]
            near = torch.cat([near, points[field.sdf(points).abs() < self.config.shell]])[: self.config.points]
        if len(near) < self.config.points:
            if confidence > 0.0:
                CONSOLE.log(
                    f"Where no photo sees, the prior holds nothing: {len(near)} of {self.config.points} points lie "
                    f"within {self.config.shell:g} of its surface, too few; raise --pipeline.model.anchor.shell."
                )
            return
        self.points.copy_(near)
        sdf, _, gradient = field.with_gradient(near, create_graph=False)
        self.sdf.copy_(sdf)
        self.gradient.copy_(gradient)
        self.confidence.fill_(confidence)

    @torch.no_grad()
    def update_visibility(
        self,
        field: HeadField,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        in_mask: Bool[Tensor, " rays"],
    ) -> None:
        """Find the points that none of these rays reaches before it is `depth` inside the head.

        Args:
            in_mask: whether a ray lies in a mask; with a single view, only the others see anything.
        """
        cells = self.config.visibility_cells
        seen = torch.zeros(cells**3, dtype=torch.bool, device=self.points.device)
        if self.one_view:
            near, far, _ = intersect_unit_ball(origins, directions)
            t = uniform_samples(near, far, self.grid.samples, jitter=False)
            passed = ~in_mask[:, None].expand_as(t)
        else:
            self.grid.refresh(field.sdf, self.points.device)
            t, values, _ = self.grid.samples_along(origins, directions, jitter=False)
            passed = values.cummin(dim=1).values > -self.config.depth
        seen[_cell_index(points_along(origins, directions, t)[passed], cells)] = True
        self.unseen = torch.nonzero(~seen[_cell_index(self.points, cells)])[:, 0]

    def draw(self, count: int) -> AnchorSamples:
        """`count` unseen points; none when all are seen."""
        unseen = self.unseen if self.confidence > 0 else self.unseen[:0]
        if len(unseen):
            unseen = unseen[torch.randint(len(unseen), (count,), device=unseen.device)]
        held = self.points[unseen], self.sdf[unseen], self.gradient[unseen]
        return AnchorSamples(*held, self.confidence, apart=1.0 / self.config.visibility_cells)


def detail_beyond(
    prior: HeadField | None, field: HeadField, points: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """The detail grid's part of the signed distance at `points`, and of its gradient, less that of the placed prior."""
    added, gradient = field.detail_with_gradient(points)
    if prior is None or prior.detail is None or not prior.detail.opened.any():
        return added, gradient
    own, own_gradient = prior.detail_with_gradient(points)
    return added - own.detach(), gradient - own_gradient.detach()


def _cell_index(points: Float[Tensor, "n 3"], cells: int) -> Int[Tensor, " n"]:
    """Flat index of the cell that each point lies in."""
    x, y, z = ((points.clamp(-1.0, 1.0) + 1.0) * (0.5 * cells)).long().clamp(max=cells - 1).unbind(dim=-1)
    return (x * cells + y) * cells + z
