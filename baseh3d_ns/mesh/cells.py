"""Cubes of a lattice that may hold surface: branch and bound with a Lipschitz constant that is measured.

The ball of radius 1 is divided into cubes; each is halved again and again, and only cubes that may hold surface are
halved further: |f(centre)| <= bound * slope * half diagonal. Lattice coordinates are integers, node i lies at
i * spacing in the unit frame.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from baseh3d_ns.mesh.ball_field import FieldInBall

COARSE_CELLS = 64
"""The first pass has at least this many cubes along the box (where the spacing allows it)."""


def cells_near_surface(field: FieldInBall, spacing: float, bound: float) -> tuple[Int[Tensor, "n 3"], float]:
    """Lower corners (lattice coordinates) of the cubes of 2 spacings that may hold surface, and the typical slope of f.

    The slope in a cube is the steeper of what its eight halves show and of the median over the level: between two
    surfaces the halves can agree by symmetry although the field is not flat.
    """
    size = 4
    while 2.0 / (size * spacing) >= COARSE_CELLS:
        size *= 2
    half_width = size * math.ceil((1.0 / spacing + 1.0) / size)
    axis = torch.arange(-half_width, half_width, size, device=field.device)
    cells = torch.cartesian_prod(axis, axis, axis)
    cells = cells[_reaches_ball(cells, size, spacing)]
    octants = torch.cartesian_prod(*[torch.tensor([0, 1], device=field.device)] * 3)
    slope = 1.0
    while size > 2 and len(cells):
        size //= 2
        cells = cells[:, None] + octants * size
        centres = (cells.float() + size / 2.0) * spacing
        values = field(centres.reshape(-1, 3)).reshape(-1, 8)
        slopes = _slopes(values, size * spacing)
        slope = float(slopes.median())
        reach = bound * slopes.clamp(min=slope) * (size * spacing * math.sqrt(3.0) / 2.0)
        cells = cells[values.abs() <= reach[:, None]]
        cells = cells[_reaches_ball(cells, size, spacing)]
    return cells, slope


def _reaches_ball(cells: Int[Tensor, "n 3"], size: int, spacing: float) -> Bool[Tensor, " n"]:
    """Whether cubes of `size` spacings at the given lower corners come near the unit ball."""
    centres = (cells.float() + size / 2.0) * spacing
    return centres.norm(dim=-1) <= 1.0 + size * spacing * math.sqrt(3.0) / 2.0


def _slopes(values: Float[Tensor, "n 8"], distance: float) -> Float[Tensor, " n"]:
    """Upper estimate of |grad f| from values at the centres of a cube's eight halves, `distance` apart."""
    octant = values.reshape(-1, 2, 2, 2)
    steepest = [(octant.select(axis, 1) - octant.select(axis, 0)).abs().amax(dim=(1, 2)) for axis in (1, 2, 3)]
    return torch.stack(steepest, dim=-1).norm(dim=-1) / distance
