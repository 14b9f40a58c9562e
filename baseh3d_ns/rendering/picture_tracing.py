"""Tracing of pictures: a march over cached SDF values finds the surface, the network says where it is exactly.

1. Rays that pass the box of the surface, or the unit ball, are misses.
2. All others march over the cached grid, by its values (sphere tracing; Hart, "Sphere Tracing", The Visual Computer
   1996), until one is negative.
3. Steps along the grid's slope, by the network's values, end at the root.
4. Rays for which they do not, that graze the surface, or that pass it closely: samples of the network decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from baseh3d_ns.rendering.ball import intersect_box, intersect_unit_ball, points_along
from baseh3d_ns.rendering.cached_sdf import CachedSdf
from baseh3d_ns.rendering.chunks import Sdf, in_chunks
from baseh3d_ns.rendering.sphere_tracing import Hits, first_crossing

BOX_CELLS = 3.0
"""Cached SDF, in cells, below which a cell belongs to the surface's box."""
STEEPEST = 1.5
"""Length of the SDF's gradient that is reckoned with."""
LONGEST_STEP = 0.1
"""Longest step of the march, in units of the unit ball: far from the surface a network's SDF is no distance."""
STEPS, GOOD_CELLS = 4, 0.003
"""Most steps by the network's values; SDF, in cells, at which the next one is the last."""
GRAZING = 0.1
"""Slope of the SDF along the ray below which steps along it lead astray."""
CLOSE_CELLS = 0.25
"""Least cached SDF along a ray, in cells, from which the network is not asked whether it meets the surface."""
REACH_CELLS = 2.0
"""Distance along the ray, in cells, within which it is asked."""
SAMPLES, SECANT_STEPS = 9, 3
"""Samples there, and again round the least of them; secant steps after a sign change."""


@dataclass(frozen=True)
class Crossing:
    """First sign change of the cached SDF along rays."""

    crossed: Bool[Tensor, " rays"]
    t: Float[Tensor, " rays"]
    """Distance of the sign change; without one, of the least value."""
    slope: Float[Tensor, " rays"]
    """Change of the SDF along the ray there; 0 without a sign change."""
    least: Float[Tensor, " rays"]
    """Least value along the ray."""


class PictureTracer:
    """A grid of cached values, and the box that holds all cells near the surface."""

    def __init__(self, grid: CachedSdf) -> None:
        self.grid, self.box = grid, grid.box(BOX_CELLS * grid.cell)

    def between(self, other: PictureTracer, share: float) -> PictureTracer:
        """A tracer of the SDF between this one's and another's; 0: this one's, 1: the other's."""
        return PictureTracer(CachedSdf(torch.lerp(self.grid.values, other.grid.values, share)))

    def inside_out(self) -> PictureTracer:
        """A tracer of the SDF times -1."""
        return PictureTracer(CachedSdf(-self.grid.values))

    @torch.no_grad()
    def trace(
        self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], exactly: bool
    ) -> Hits:
        """First intersection of every ray with the network's surface inside the unit ball.

        Args:
            exactly: else most are those with the cached surface.
        """
        near, far, ahead = intersect_box(origins, directions, self.box)
        enters, leaves, in_ball = intersect_unit_ball(origins, directions)
        near, far = torch.maximum(near, enters), torch.minimum(far, leaves)
        hits = Hits(t=0.5 * (near + far), hit=torch.zeros_like(ahead))
        rays = (ahead & in_ball & (near < far)).nonzero()[:, 0]
        found = self._trace(sdf, origins[rays], directions[rays], near[rays], far[rays], exactly)
        hits.t[rays], hits.hit[rays] = found.t, found.hit
        return hits

    def _trace(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        near: Float[Tensor, " rays"],
        far: Float[Tensor, " rays"],
        exactly: bool,
    ) -> Hits:
        grid, reach = self.grid, REACH_CELLS * self.grid.cell
        crossing = march(grid, origins, directions, near, far)
        hits = Hits(t=crossing.t.clone(), hit=crossing.slope < -GRAZING)
        if exactly:
            hits = step_to_root(sdf, origins, directions, hits, crossing.slope, grid.cell)
        unsure = ~hits.hit & (crossing.crossed | (crossing.least < CLOSE_CELLS * grid.cell))
        low, high = torch.maximum(crossing.t - reach, near), torch.minimum(crossing.t + reach, far)
        searched = search(sdf, origins[unsure], directions[unsure], low[unsure], high[unsure])
        hits.t[unsure], hits.hit[unsure] = searched.t, searched.hit
        # What only the cached surface has met, such as a chin seen from below, must not hide what lies behind.
        behind = (crossing.crossed & ~hits.hit & (high < far)).nonzero()[:, 0]
        if len(behind):
            rest = self._trace(sdf, origins[behind], directions[behind], high[behind], far[behind], exactly)
            hits.t[behind], hits.hit[behind] = rest.t, rest.hit
        return hits


def march(
    grid: CachedSdf,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    near: Float[Tensor, " rays"],
    far: Float[Tensor, " rays"],
) -> Crossing:
    """Sphere tracing over cached values, from `near` to `far`, in steps of at least half a cell."""
    value = grid(points_along(origins, directions, near))
    inside = value <= 0.0
    found = torch.stack([near, torch.zeros_like(near), value], dim=1)
    rays = (~inside).nonzero()[:, 0]
    before, value_before, closest, least = near[rays], value[rays], near[rays], value[rays]
    while len(rays):
        end = far[rays]
        step = (value_before / STEEPEST).clamp(0.5 * grid.cell, LONGEST_STEP)
        after = torch.minimum(before + step, end)
        starts, towards = origins.index_select(0, rays), directions.index_select(0, rays)  # faster than [rays]
        value = grid(points_along(starts, towards, after))
        crossed = value < 0.0
        slope = torch.where(crossed, (value - value_before) / (after - before), 0.0)
        closest = closest.where(value >= least, after).where(~crossed, before - value_before / slope)
        least = torch.minimum(least, value)
        # Not a number, or steps below the precision of the distance, would go on for ever.
        ends = crossed | ~((before < after) & (after < end))
        done, on = ends.nonzero()[:, 0], (~ends).nonzero()[:, 0]
        found[rays[done]] = torch.stack([closest[done], slope[done], least[done]], dim=1)
        rays, before, value_before, closest, least = rays[on], after[on], value[on], closest[on], least[on]
    t, slope, least = found.unbind(dim=1)
    return Crossing(inside | (slope < 0.0), t, slope, least)


def step_to_root(
    sdf: Sdf,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    rough: Hits,
    slope: Float[Tensor, " rays"],
    cell: float,
) -> Hits:
    """Roots of the network's SDF within a cell of those of the cached one, by steps along the cached slope."""
    t, found = rough.t.clone(), torch.zeros_like(rough.hit)
    rays = rough.hit.nonzero()[:, 0]
    for _ in range(STEPS):
        value = in_chunks(sdf, points_along(origins[rays], directions[rays], t[rays]))
        t[rays] -= value / slope[rays]
        good = value.abs() < GOOD_CELLS * cell
        found[rays[good]] = True
        rays = rays[~good]
    return Hits(t=t, hit=found & ((t - rough.t).abs() < cell))


def search(
    sdf: Sdf,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    low: Float[Tensor, " rays"],
    high: Float[Tensor, " rays"],
) -> Hits:
    """First intersections between `low` and `high`: samples, and finer ones round the least where that is close."""
    found = first_crossing(sdf, origins, directions, low, high, SAMPLES, SECANT_STEPS)
    missed = (~found.hit).nonzero()[:, 0]
    least = in_chunks(sdf, points_along(origins[missed], directions[missed], found.t[missed]))
    spacing = (high - low) / (SAMPLES - 1)
    again = missed[least < 0.5 * STEEPEST * spacing[missed]]
    low, high = (found.t + side * spacing for side in (-1.0, 1.0))
    finer = first_crossing(sdf, origins[again], directions[again], low[again], high[again], SAMPLES, SECANT_STEPS)
    found.t[again], found.hit[again] = finer.t, finer.hit
    return found
