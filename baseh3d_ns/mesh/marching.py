"""Marching cubes (Lewiner et al. 2003, scikit-image) over slabs of a sparse lattice.

Slabs share their border nodes, and vertices are named by the lattice edge they lie on, so slabs weld exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from baseh3d_ns.mesh.ball_field import FieldInBall

SLAB_LAYERS = 32
"""Lattice layers handed to marching cubes at once: 100 MB at 0.5 mm in a ball of 500 mm."""


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
    field: FieldInBall, cells: Int[Tensor, "n 3"], spacing: float, slope: float, progress: bool
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices (unit frame) and faces of the surface inside `cells` (cubes of 2 spacings)."""
    from tqdm import tqdm

    low, high = cells.amin(dim=0), cells.amax(dim=0) + 2
    keys, points, faces = [np.zeros(0, np.int64)], [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)]
    starts = range(int(low[0]), int(high[0]), SLAB_LAYERS)
    for start in tqdm(starts, desc="Meshing", unit="slab", delay=5.0, disable=not progress, leave=False):
        here = cells[(cells[:, 0] >= start) & (cells[:, 0] < start + SLAB_LAYERS)]
        if not len(here):
            continue
        slab = _slab_values(field, here, low.new_tensor([start, *low[1:]]), high, spacing)
        slab_keys, slab_points, slab_faces = _march_slab(slab, slope * spacing)
        faces.append(slab_faces + sum(map(len, keys)))
        keys.append(slab_keys)
        points.append(slab_points * spacing)
    _, first, index = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    return np.concatenate(points)[first], index.reshape(-1)[np.concatenate(faces)]


def _slab_values(
    field: FieldInBall, cells: Int[Tensor, "n 3"], origin: Int[Tensor, " 3"], high: Int[Tensor, " 3"], spacing: float
) -> _Slab:
    """f on the nodes of `cells`, in the slab of `SLAB_LAYERS` layers from `origin`."""
    shape = (SLAB_LAYERS, *(high - origin)[1:].tolist())
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
