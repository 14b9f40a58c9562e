"""Tracing on a cached grid of SDF values: dense samples cost no network call, the network only refines.

The `-fast` methods use it. What it may change against `sphere_tracing.py` is bounded by a test that compares both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool3d

from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.chunks import Sdf, in_chunks
from baseh3d_ns.rendering.sphere_tracing import Hits, first_crossing, secant, uniform_samples

BAND = 0.1
"""Cached values below this are near the surface, in units of the unit ball (15 mm)."""


@dataclass(frozen=True)
class Effort:
    """How often the network is asked for one ray."""

    secant_steps: int
    local_samples: int
    """Within two cells of the least sample, where a ray has no bracket."""


RENDERING = Effort(secant_steps=4, local_samples=32)
TRAINING = Effort(secant_steps=2, local_samples=8)
"""The next step will ask again."""


class GridTracer:
    """Traces on SDF values cached at the corners of a cubic grid over the unit ball.

    1. Samples along every ray, two a grid cell, interpolated in the grid; the first negative one marks the surface.
    2. The network is asked one cell before and after; where its signs differ, the secant method finds the root.
    3. Rays without such a bracket (the field has moved, or a silhouette passes within a cell): `Effort.local_samples`
       of the network within two cells of the least sample, then as in 2.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.values: Float[Tensor, "1 1 g g g"] | None = None
        self.samples = 2 * cells

    @property
    def cell(self) -> float:
        """Edge of a grid cell in units of the unit ball."""
        return 2.0 / self.cells

    @torch.no_grad()
    def refresh(self, sdf: Sdf, device: torch.device) -> None:
        """Ask the network for every grid corner in the unit ball (and one cell around it)."""
        points = self._corners(device)
        values = points.norm(dim=-1)
        near_ball = values < 1.0 + 2.0 * self.cell
        values[near_ball] = in_chunks(sdf, points[near_ball])
        self.values = values[None, None]

    @torch.no_grad()
    def refresh_near_surface(self, sdf: Sdf) -> None:
        """Ask it again only where the surface was near or a cell from there, so that the band goes where it goes."""
        assert self.values is not None, "refresh() comes first"
        values = self.values[0, 0]
        near = max_pool3d((values.abs() < BAND).float()[None], kernel_size=3, stride=1, padding=1)[0] > 0.0
        values[near] = in_chunks(sdf, self._corners(values.device)[near])

    def cached(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
        """Interpolated SDF values, beside the box those at its side; differentiable in the points."""
        assert self.values is not None, "refresh() comes first"
        flat = points.reshape(1, 1, 1, -1, 3)
        values = grid_sample(self.values, flat, align_corners=True, padding_mode="border")
        return values.view(points.shape[:-1])

    def _corners(self, device: torch.device) -> Float[Tensor, "g g g 3"]:
        axis = torch.linspace(-1.0, 1.0, self.cells + 1, device=device)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return torch.stack([x, y, z], dim=-1)

    @torch.no_grad()
    def trace(self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]) -> Hits:
        samples = self.samples_along(origins, directions, jitter=False)
        return self._trace(sdf, origins, directions, samples, RENDERING)

    @torch.no_grad()
    def training_points(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        inside: Bool[Tensor, " rays"],
    ) -> Hits:
        """Only rays in the mask ask the network; the least SDF of the others is the cached one's."""
        t, values, in_ball = self.samples_along(origins, directions, jitter=True)
        found = t.gather(1, values.argmin(dim=1, keepdim=True))[:, 0]
        samples = t[inside], values[inside], in_ball[inside]
        hits = self._trace(sdf, origins[inside], directions[inside], samples, TRAINING)
        on_surface = torch.zeros_like(inside)
        on_surface[inside] = hits.hit
        found[on_surface] = hits.t[hits.hit]
        return Hits(t=found, hit=on_surface)

    def _trace(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        samples: tuple[Float[Tensor, "rays s"], Float[Tensor, "rays s"], Bool[Tensor, " rays"]],
        effort: Effort,
    ) -> Hits:
        t, values, in_ball = samples
        negative = values < 0.0
        crossed = negative.any(dim=1)
        index = torch.where(crossed, negative.to(torch.int8).argmax(dim=1), values.argmin(dim=1))
        found = t.gather(1, index[:, None])[:, 0]
        hits = Hits(t=found, hit=torch.zeros_like(in_ball))
        limits = t[:, 0], t[:, -1]
        bracketed = self._refine(sdf, origins, directions, limits, in_ball & crossed, hits, effort)
        close = in_ball & ~bracketed & (values.amin(dim=1) < 1.5 * self.cell)
        self._search_locally(sdf, origins, directions, limits, close, hits, effort)
        return hits

    def samples_along(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], jitter: bool
    ) -> tuple[Float[Tensor, "rays s"], Float[Tensor, "rays s"], Bool[Tensor, " rays"]]:
        """Distances, interpolated SDF values, and which rays meet the ball."""
        near, far, in_ball = intersect_unit_ball(origins, directions)
        t = uniform_samples(near, far, self.samples, jitter)
        return t, self.cached(points_along(origins, directions, t)), in_ball

    def _refine(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        limits: tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]],
        rays: Bool[Tensor, " rays"],
        hits: Hits,
        effort: Effort,
    ) -> Bool[Tensor, " rays"]:
        """Secant within a cell of `hits.t` where the network's signs differ; writes into `hits`, returns where."""
        o, d = origins[rays], directions[rays]
        low = torch.maximum(hits.t[rays] - self.cell, limits[0][rays])
        high = torch.minimum(hits.t[rays] + 0.5 * self.cell, limits[1][rays])
        f_low, f_high = in_chunks(sdf, points_along(o, d, torch.stack([low, high], dim=1))).unbind(dim=1)
        good = (f_low > 0.0) & (f_high < 0.0)
        bracketed = torch.zeros_like(rays)
        bracketed[rays] = good
        hits.t[bracketed] = secant(
            sdf, o[good], d[good], (low[good], f_low[good]), (high[good], f_high[good]), effort.secant_steps
        )
        hits.hit[bracketed] = True
        return bracketed

    def _search_locally(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        limits: tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]],
        rays: Bool[Tensor, " rays"],
        hits: Hits,
        effort: Effort,
    ) -> None:
        """Network samples within two cells of `hits.t`; writes what they find into `hits`."""
        if not rays.any():
            return
        low = torch.maximum(hits.t[rays] - 2.0 * self.cell, limits[0][rays])
        high = torch.minimum(hits.t[rays] + 2.0 * self.cell, limits[1][rays])
        local = first_crossing(
            sdf, origins[rays], directions[rays], low, high, effort.local_samples, effort.secant_steps
        )
        hits.t[rays], hits.hit[rays] = local.t, local.hit
