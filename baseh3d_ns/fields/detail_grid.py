"""Detail above a prior: a residual of its SDF or its colours, from features on grids of several resolutions.

Source: Müller et al., "Instant Neural Graphics Primitives", SIGGRAPH 2022 (levels, hashed above a size; smoothstep
instead of trilinear weights, their appendix A, so that normals are continuous); levels opened one after another as in
Li et al., "Neuralangelo", CVPR 2023, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from baseh3d_ns.bounds import Count, GridCells
from baseh3d_ns.fields.networks import SOFTPLUS_BETA

TABLE_ROWS = 1 << 17
"""Rows of a level's table: larger grids are hashed."""
PRIMES = (1, 2654435761, 805459861)
"""Factors of the spatial hash (Teschner et al. 2003), as Instant-NGP takes them."""
FIRST_FEATURES = 1e-4
"""Largest absolute feature before the first step."""


@dataclass
class DetailGridConfig:
    """A residual that starts as zero."""

    cells: tuple[GridCells, ...] = ()
    """Cells along an axis of each level's grid over the box [-1, 1]^3 of the prior's frame, from coarse to fine; none:
    no detail. Grids finer than a pixel on the head (for colours: half a pixel) are left out; a prior's own detail goes
    on as it is."""
    features: Count = 2
    """Features at a corner of a grid."""
    width: Count = 32
    """Units of the hidden layer behind all levels' features."""


class DetailGrid(nn.Module):
    """Position in the networks' frame -> what is added to the SDF, or to red, green and blue before they are squashed.

    Differentiable twice (eikonal loss).
    """

    cells: nn.Parameter
    opened: nn.Parameter

    def __init__(self, config: DetailGridConfig, outputs: int) -> None:
        super().__init__()
        self.sizes = config.cells
        # Parameters, though none learns: so that they stand in head files beside the tables.
        self.cells = nn.Parameter(torch.tensor(config.cells).float(), requires_grad=False)
        self.opened = nn.Parameter(torch.zeros(len(config.cells)), requires_grad=False)
        rows = [min((cells + 1) ** 3, TABLE_ROWS) for cells in config.cells]
        self.tables = nn.ParameterList(
            torch.empty(count, config.features).uniform_(-FIRST_FEATURES, FIRST_FEATURES) for count in rows
        )
        self.hidden = nn.Linear(len(config.cells) * config.features, config.width)
        self.last = nn.Linear(config.width, outputs)
        self.forget()

    def forget(self) -> None:
        """Start anew: what is added becomes zero."""
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        nn.init.zeros_(self.opened)

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n o"]:
        levels = zip(self.sizes, self.tables, self.opened, strict=True)
        features = [opened * interpolated(points, table, cells) for cells, table, opened in levels]
        hidden = nn.functional.softplus(self.hidden(torch.cat(features, dim=-1)), beta=SOFTPLUS_BETA)
        return self.last(hidden)

    @torch.no_grad()
    def open_levels(self, fraction: float) -> None:
        """Open that fraction of the levels and the next one, or its part, from coarse to fine; a prior's own stay open.

        So the first is open at 0.
        """
        begun = len(self.opened) * fraction
        due = (1.0 + begun - torch.arange(len(self.opened))).clamp(0.0, 1.0)
        self.opened.copy_(torch.maximum(self.opened, due.to(self.opened)))

    def learning(self) -> list[nn.Parameter]:
        """Parameters that learn."""
        return [*self.tables, *self.hidden.parameters(), *self.last.parameters()]


def cells_to_see(cells: tuple[int, ...], finest: float) -> tuple[int, ...]:
    """Those levels whose cells are at least so wide, in units of the unit ball."""
    return tuple(count for count in cells if 2.0 / count >= finest)


def interpolated(points: Float[Tensor, "n 3"], table: Float[Tensor, "r f"], cells: int) -> Float[Tensor, "n f"]:
    """Features of a level at points in the box [-1, 1]^3, those of its border outside."""
    at = ((points + 1.0) * (0.5 * cells)).clamp(0.0, float(cells))
    low = at.detach().floor().clamp(max=cells - 1)
    along = at - low
    upper = along * along * (3.0 - 2.0 * along)
    corners = torch.stack([low.long(), low.long() + 1], dim=-1)
    features = nn.functional.embedding(rows_of(corners, cells, len(table)), table)
    # Axis by axis, which is faster than eight weights a cell.
    for share in upper.unbind(dim=1):
        below, above = features.unbind(dim=1)
        features = torch.lerp(below, above, share.view(-1, *[1] * (below.dim() - 1)))
    return features


def rows_of(corners: Int[Tensor, "n 3 2"], cells: int, rows: int) -> Int[Tensor, "n 2 2 2"]:
    """Rows of a level's table for the corners of cells of its grid: one each, or hashed where there are too many.

    Args:
        corners: lower and upper coordinate of the cells along every axis.
    """
    x, y, z = corners.unbind(dim=1)
    x, y, z = x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]
    if (cells + 1) ** 3 <= rows:
        return (z * (cells + 1) + y) * (cells + 1) + x
    return (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) % rows
