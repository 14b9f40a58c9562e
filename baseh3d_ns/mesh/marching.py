"""Marching cubes of an SDF in the unit ball, on those cells of a lattice alone that may hold surface.

The field is f = max(sdf, |x| - 1), so that an SDF's values outside the ball never show and a surface that leaves the
ball is closed by it. Lattice coordinates are integers, node i lies at i * spacing in the unit frame.

1. `cells_near_surface`: branch and bound with a Lipschitz constant that is measured. The ball is divided into cubes;
   each is halved again and again, and only cubes that may hold surface are halved further: |f(centre)| <= bound *
   slope * half diagonal.
2. `march`: marching cubes (Lewiner et al. 2003, scikit-image) over slabs of the lattice. Slabs share their border
   nodes, and vertices are named by the lattice edge they lie on, so slabs weld exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.errors import InputError
from baseh3d_ns.rendering.chunks import Sdf, points_per_call

COARSE_CELLS = 64
"""The first pass has at least this many cubes along the box (where the spacing allows it)."""
SLAB_LAYERS = 32
"""Most lattice layers handed to marching cubes at once."""
SLAB_NODES = 20_000_000
"""Most lattice nodes handed to marching cubes at once, where two layers have no more: 29 bytes each, 600 MB."""


class NoSurfaceError(InputError):
    """A field without a zero crossing inside the unit ball."""


class FieldInBall:
    """f = max(sdf, |x| - 1) without gradients and in chunks; remembers the range of the SDF seen inside the ball."""

    def __init__(self, sdf: Sdf, device: torch.device, progress: bool = False) -> None:
        self.sdf, self.device, self.progress = sdf, device, progress
        self.chunk = points_per_call(device)
        self.lowest, self.highest = math.inf, -math.inf

    @torch.no_grad()
    def __call__(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        parts = points.split(self.chunk)
        bar = progress_bar(parts, shown=self.progress, desc="Asking the SDF", unit="chunk")
        # The outermost lattice nodes lie a spacing outside the box, where the field need not be defined.
        distances = [self.sdf(part.clamp(-1.0, 1.0)).float() for part in bar]
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


@dataclass(frozen=True)
class _Slab:
    """A box of the lattice with the values of f where they are known."""

    origin: Int[np.ndarray, " 3"]
    """Lattice coordinates of node (0, 0, 0)."""
    values: Float[np.ndarray, "a b c"]
    """f at the nodes; 1 where no cell of `active` needs it."""
    active: Bool[np.ndarray, "a-1 b-1 c-1"]
    """The cells to march."""


def march(
    field: FieldInBall, cells: Int[Tensor, "n 3"], spacing: float, slope: float
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices (unit frame) and faces of the surface inside `cells` (cubes of 2 spacings)."""
    low, high = cells.amin(dim=0), cells.amax(dim=0) + 2
    keys, points, faces = [np.zeros(0, np.int64)], [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)]
    layers = _layers_of_slab(high - low)
    starts = range(int(low[0]), int(high[0]), layers)
    for start in progress_bar(starts, shown=field.progress, desc="Meshing", unit="slab"):
        here = cells[(cells[:, 0] >= start) & (cells[:, 0] < start + layers)]
        if not len(here):
            continue
        origin = low.new_tensor([start, *low[1:]])
        slab = _slab_values(field, here, origin, (layers, *(high - low)[1:].tolist()), spacing)
        slab_keys, slab_points, slab_faces = _march_slab(slab, slope * spacing)
        faces.append(slab_faces + sum(map(len, keys)))
        keys.append(slab_keys)
        points.append(slab_points * spacing)
    _, first, index = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    return np.concatenate(points)[first], index.reshape(-1)[np.concatenate(faces)]


def _layers_of_slab(extent: Int[Tensor, " 3"]) -> int:
    """Layers of a slab of a box of that many cells: an even number, since `cells` are two spacings wide."""
    nodes_of_layer = int((extent[1:] + 1).prod())
    return min(SLAB_LAYERS, max(2, (SLAB_NODES // nodes_of_layer - 1) // 2 * 2))


def _slab_values(
    field: FieldInBall, cells: Int[Tensor, "n 3"], origin: Int[Tensor, " 3"], shape: tuple[int, ...], spacing: float
) -> _Slab:
    """f on the nodes of `cells`, in a slab of `shape` cells from `origin`."""
    active = torch.zeros(shape, dtype=torch.bool, device=cells.device)
    needed = torch.zeros([extent + 1 for extent in shape], dtype=torch.bool, device=cells.device)
    corner = cells - origin
    for i, j, k in np.ndindex(3, 3, 3):
        needed[corner[:, 0] + i, corner[:, 1] + j, corner[:, 2] + k] = True
        if max(i, j, k) < 2:
            active[corner[:, 0] + i, corner[:, 1] + j, corner[:, 2] + k] = True
    values = torch.ones(needed.shape, dtype=torch.float32, device=cells.device)
    values[needed] = field((needed.nonzero() + origin).float() * spacing)
    return _Slab(origin.cpu().numpy(), values.cpu().numpy(), active.cpu().numpy())


def _march_slab(
    slab: _Slab, step: float
) -> tuple[Int[np.ndarray, " v"], Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertex names, vertices (lattice coordinates) and faces; `step` is the typical change of f from node to node.

    Topology comes from values whose ratios are bounded, so that float32 vertices tell on which edge they lie; the
    position along the edge then comes from the true values.
    """
    from skimage.measure import marching_cubes

    values = slab.values.astype(np.float64) + 0.0  # no negative zeros: zero counts as outside
    bounded = np.copysign(np.clip(np.abs(values) / step, 0.02, 4.0), values)
    if bounded.min() > 0.0 or bounded.max() < 0.0:
        return np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    # scikit-image asks the mask at a cell's upper corner.
    mask = np.pad(slab.active, ((1, 0),) * 3)
    try:
        rough, faces, _, _ = marching_cubes(bounded, 0.0, gradient_direction="descent", mask=mask)
    except RuntimeError:  # "No surface found": the crossings lie in masked cells
        return np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    lower = np.floor(rough + 1e-3).astype(np.int64)
    between = np.abs(rough - np.rint(rough)) > 1e-3
    on_edge = between.sum(axis=1) == 1
    axis = np.where(on_edge, between.argmax(axis=1), 3)

    node = lower[on_edge]
    before = values[tuple(node.T)]
    after = values[tuple((node + np.eye(3, dtype=np.int64)[axis[on_edge]]).T)]
    vertices = rough.astype(np.float64)
    # Never on a node itself, where vertices of several edges would fall together.
    vertices[on_edge] = node
    vertices[on_edge, axis[on_edge]] += np.clip(before / (before - after), 1e-4, 1.0 - 1e-4)
    name = lower + slab.origin + (1 << 19)
    keys = (((name[:, 0] << 40) + (name[:, 1] << 20) + name[:, 2]) << 2) + axis
    return keys, vertices + slab.origin, faces.astype(np.int64)
