"""Tracing on a cached grid of SDF values: dense samples cost no network call, the network only refines.

The `-fast` methods use it, for pictures with `picture_tracing.py`. A test compares both with `sphere_tracing.py` and
bounds the difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool3d

from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.cached_sdf import CachedSdf
from baseh3d_ns.rendering.chunks import Sdf, in_chunks
from baseh3d_ns.rendering.picture_tracing import PictureTracer
from baseh3d_ns.rendering.sphere_tracing import Hits, first_crossing, secant, uniform_samples

BAND = 0.1
"""Absolute cached SDF below which a grid corner is near the surface, in units of the unit ball (15 to 25 mm)."""
CLOSE_CELLS = 1.5
"""Least cached SDF along a ray, in cells, from which a training ray is taken to miss: interpolation is off by at most
half a cell's diagonal, samples lie half a cell apart, and gradients may be longer than 1."""


@dataclass(frozen=True)
class Effort:
    """Network calls per ray."""

    secant_steps: int
    """Secant steps within a bracket."""
    local_samples: int
    """Samples within two cells of the minimum, for a ray without a bracket."""


TRAINING = Effort(secant_steps=2, local_samples=8)
"""Coarse: the next training step corrects the error."""


class GridTracer:
    """Traces on SDF values cached at the corners of a cubic grid over the unit ball.

    Pictures are traced on a copy of twice as many cells, made once after each refresh. In training:

    1. Interpolate the grid at samples along every ray, two per grid cell; the first negative one marks the surface.
    2. Evaluate the network one cell before it and half a cell behind it; where the signs differ, the secant method
       finds the root.
    3. Rays without such a bracket (the field has moved, or a silhouette passes within a cell): evaluate the network at
       `Effort.local_samples` points within two cells of the minimum, then refine as in 2.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.values: Float[Tensor, "1 1 g g g"] | None = None
        self.samples = 2 * cells
        self._pictures: PictureTracer | None = None

    @property
    def cell(self) -> float:
        """Edge of a grid cell in units of the unit ball."""
        return 2.0 / self.cells

    @torch.no_grad()
    def refresh(self, sdf: Sdf, device: torch.device) -> None:
        """Evaluate the network at every grid corner in the unit ball and just outside it."""
        points = self._corners(device)
        values = points.norm(dim=-1)
        near_ball = values < 1.0 + 2.0 * self.cell
        values[near_ball] = in_chunks(sdf, points[near_ball])
        self.values = values[None, None]
        self._pictures = None

    @torch.no_grad()
    def refresh_near_surface(self, sdf: Sdf) -> None:
        """Evaluate the network again only in the band round the cached surface, dilated by a cell to follow it."""
        assert self.values is not None, "refresh() comes first"
        values = self.values[0, 0]
        near = max_pool3d((values.abs() < BAND).float()[None], kernel_size=3, stride=1, padding=1)[0] > 0.0
        values[near] = in_chunks(sdf, self._corners(values.device)[near])
        self._pictures = None

    @torch.no_grad()
    def for_pictures(self, sdf: Sdf) -> PictureTracer:
        """The finer copy that pictures are traced on; the same until the next refresh."""
        assert self.values is not None, "refresh() comes first"
        if self._pictures is None:
            self._pictures = PictureTracer(CachedSdf(self.values).halved(sdf))
        return self._pictures

    def between(self, other: GridTracer, share: float) -> GridTracer:
        """A tracer of the SDF between this one's and another's, of as many cells; 0: this one's, 1: the other's."""
        assert self.values is not None and other.values is not None, "refresh() comes first"
        made = GridTracer(self.cells)
        made.values = torch.lerp(self.values, other.values, share)
        if self._pictures is not None and other._pictures is not None:
            made._pictures = self._pictures.between(other._pictures, share)
        return made

    def cached(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
        """Trilinearly interpolated SDF, outside the box that of its border; differentiable in the points."""
        assert self.values is not None, "refresh() comes first"
        return CachedSdf(self.values)(points)

    def _corners(self, device: torch.device) -> Float[Tensor, "g g g 3"]:
        axis = torch.linspace(-1.0, 1.0, self.cells + 1, device=device)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return torch.stack([x, y, z], dim=-1)

    @torch.no_grad()
    def trace(self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]) -> Hits:
        return self.for_pictures(sdf).trace(sdf, origins, directions, exactly=True)

    @torch.no_grad()
    def trace_roughly(self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]) -> Hits:
        return self.for_pictures(sdf).trace(sdf, origins, directions, exactly=False)

    def inside_out(self, sdf: Sdf) -> GridTracer:
        assert self.values is not None, "refresh() comes first"
        made = GridTracer(self.cells)
        made.values, made._pictures = -self.values, self.for_pictures(sdf).inside_out()
        return made

    @torch.no_grad()
    def training_points(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        in_mask: Bool[Tensor, " rays"],
    ) -> Hits:
        """Sample points of IDR's losses; rays outside the mask cost no network call, they use the cached minimum."""
        t, values, in_ball = self.samples_along(origins, directions, jitter=True)
        found = t.gather(1, values.argmin(dim=1, keepdim=True))[:, 0]
        samples = t[in_mask], values[in_mask], in_ball[in_mask]
        hits = self._trace(sdf, origins[in_mask], directions[in_mask], samples, TRAINING)
        on_surface = torch.zeros_like(in_mask)
        on_surface[in_mask] = hits.hit
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
        close = in_ball & ~bracketed & (values.amin(dim=1) < CLOSE_CELLS * self.cell)
        self._search_locally(sdf, origins, directions, limits, close, hits, effort)
        return hits

    def samples_along(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], jitter: bool
    ) -> tuple[Float[Tensor, "rays s"], Float[Tensor, "rays s"], Bool[Tensor, " rays"]]:
        """Distances, interpolated SDF values, and a mask of the rays that meet the unit ball."""
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
        """Secant method within a cell of `hits.t` where the network's sign changes; updates `hits`, returns a mask."""
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
        """Search for a sign change of the network within two cells of `hits.t`; updates `hits`."""
        if not rays.any():
            return
        low = torch.maximum(hits.t[rays] - 2.0 * self.cell, limits[0][rays])
        high = torch.minimum(hits.t[rays] + 2.0 * self.cell, limits[1][rays])
        local = first_crossing(
            sdf, origins[rays], directions[rays], low, high, effort.local_samples, effort.secant_steps
        )
        hits.t[rays], hits.hit[rays] = local.t, local.hit
