"""IDR's sphere tracer: slow and plain, the reference that the cached grid (`sdf_grid.py`) is tested against.

All distances are along unit directions, in the unit frame; nothing here carries a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.chunks import Sdf, in_chunks


@dataclass(frozen=True)
class Hits:
    """Result of tracing, one entry per ray."""

    t: Float[Tensor, " rays"]
    """Distance to the surface; for a ray without a hit, to the point where the search ended."""
    hit: Bool[Tensor, " rays"]
    """True for rays that meet the surface."""


@runtime_checkable
class Tracer(Protocol):
    """Finds, without gradient, where rays meet the surface, and where the rays that miss it come closest to it."""

    def trace(self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]) -> Hits:
        """First intersection of every ray with the zero level set inside the unit ball."""
        ...

    def trace_roughly(self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]) -> Hits:
        """The same up to an error that a step or two of Newton's method remove: for pictures, which need the gradient
        anyway."""
        ...

    def inside_out(self, sdf: Sdf) -> Tracer:
        """A tracer of -`sdf`: for rays that begin inside, whose first intersection is where they leave."""
        ...

    def training_points(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        in_mask: Bool[Tensor, " rays"],
    ) -> Hits:
        """Sample points of IDR's losses: rays in the mask that meet the surface are hits, at the intersection; all
        others get the distance to the minimum of jittered SDF samples inside the unit ball."""
        ...


@dataclass(frozen=True)
class SphereTracer:
    """The tracer of Yariv et al. 2020, supplement B.2.

    1. Clip the ray to the unit ball.
    2. March from both ends at once by the SDF's value; where a step overshoots (SDF < 0), take back half of it, then a
       quarter, then an eighth.
    3. Rays whose front end has not converged: uniform samples between the two ends; the first sign change is refined
       by the secant method.
    """

    steps: int = 10
    """Sphere tracing steps."""
    threshold: float = 5e-5
    """SDF below which an end has converged, in units of the unit ball."""
    back_offs: int = 3
    """Halvings of a step that overshoots."""
    samples: int = 100
    """Uniform samples on a ray that has not converged."""
    secant_steps: int = 8
    """Secant steps within the bracket of the first sign change."""

    @torch.no_grad()
    def trace(self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]) -> Hits:
        near, far, in_ball = intersect_unit_ball(origins, directions)
        front, back, unfinished = self._march(sdf, origins, directions, near, far, in_ball)
        t, hit = front.clone(), in_ball & (front < back)
        if unfinished.any():
            sampled = first_crossing(
                sdf,
                origins[unfinished],
                directions[unfinished],
                front[unfinished],
                back[unfinished],
                self.samples,
                self.secant_steps,
            )
            t[unfinished], hit[unfinished] = sampled.t, sampled.hit
        return Hits(t=t, hit=hit)

    trace_roughly = trace

    def inside_out(self, sdf: Sdf) -> SphereTracer:
        return self

    @torch.no_grad()
    def training_points(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        in_mask: Bool[Tensor, " rays"],
    ) -> Hits:
        hits = self.trace(sdf, origins, directions)
        t, on_surface = hits.t.clone(), hits.hit & in_mask
        t[~on_surface] = self._argmin_sdf(sdf, origins[~on_surface], directions[~on_surface])
        return Hits(t=t, hit=on_surface)

    def _argmin_sdf(
        self, sdf: Sdf, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, " rays"]:
        near, far, _ = intersect_unit_ball(origins, directions)
        t = uniform_samples(near, far, self.samples, jitter=True)
        values = in_chunks(sdf, points_along(origins, directions, t))
        return t.gather(1, values.argmin(dim=1, keepdim=True))[:, 0]

    def _march(
        self,
        sdf: Sdf,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        near: Float[Tensor, " rays"],
        far: Float[Tensor, " rays"],
        in_ball: Bool[Tensor, " rays"],
    ) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"], Bool[Tensor, " rays"]]:
        """Front end, back end, and a mask of the rays whose front end has not converged."""
        ends = torch.stack([near, far])
        towards = torch.tensor([[1.0], [-1.0]], device=ends.device).expand_as(ends)
        both_origins, both_directions = origins.expand(2, -1, -1), directions.expand(2, -1, -1)

        def sdf_at(which: Bool[Tensor, "2 rays"]) -> Float[Tensor, " n"]:
            points = both_origins[which] + ends[which][:, None] * both_directions[which]
            return in_chunks(sdf, points)

        active = in_ball.expand(2, -1).clone()
        value = torch.zeros_like(ends)
        value[active] = sdf_at(active)
        for step in range(self.steps + 1):
            value = torch.where(value <= self.threshold, 0.0, value)
            active = active & (value > self.threshold)
            if step == self.steps or not active.any():
                break
            ends = ends + towards * value
            after = torch.zeros_like(value)
            after[active] = sdf_at(active)
            for back_off in range(self.back_offs):
                overshot = after < 0.0
                if not overshot.any():
                    break
                ends = torch.where(overshot, ends - towards * value * 0.5 ** (back_off + 1), ends)
                after[overshot] = sdf_at(overshot)
            active = active & (ends[0] < ends[1])
            value = torch.where(active, after, 0.0)
        return ends[0], ends[1], active[0]


def first_crossing(
    sdf: Sdf,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    near: Float[Tensor, " rays"],
    far: Float[Tensor, " rays"],
    samples: int,
    secant_steps: int,
) -> Hits:
    """First sign change of uniform SDF samples, refined by the secant method; without one, the minimum as a miss."""
    t = uniform_samples(near, far, samples, jitter=False)
    values = in_chunks(sdf, points_along(origins, directions, t))
    negative = values < 0.0
    hit = negative.any(dim=1)
    index = torch.where(hit, negative.to(torch.int8).argmax(dim=1), values.argmin(dim=1))[:, None]
    before = (index - 1).clamp(min=0)
    found = t.gather(1, index)[:, 0]
    if hit.any():
        found[hit] = secant(
            sdf,
            origins[hit],
            directions[hit],
            (t.gather(1, before)[hit, 0], values.gather(1, before)[hit, 0]),
            (t.gather(1, index)[hit, 0], values.gather(1, index)[hit, 0]),
            secant_steps,
        )
    return Hits(t=found, hit=hit)


def secant(
    sdf: Sdf,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    low: tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]],
    high: tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]],
    steps: int,
) -> Float[Tensor, " rays"]:
    """Root of the SDF between `low` (t, SDF > 0) and `high` (t, SDF < 0) by regula falsi, which keeps the bracket."""
    (t_low, f_low), (t_high, f_high) = low, high
    t = _false_position(t_low, f_low, t_high, f_high)
    for _ in range(steps):
        value = in_chunks(sdf, points_along(origins, directions, t))
        outside = value > 0.0
        t_low, f_low = torch.where(outside, t, t_low), torch.where(outside, value, f_low)
        t_high, f_high = torch.where(outside, t_high, t), torch.where(outside, f_high, value)
        t = _false_position(t_low, f_low, t_high, f_high)
    return t


def _false_position(
    t_low: Float[Tensor, " rays"],
    f_low: Float[Tensor, " rays"],
    t_high: Float[Tensor, " rays"],
    f_high: Float[Tensor, " rays"],
) -> Float[Tensor, " rays"]:
    fraction = f_low / (f_low - f_high).clamp(min=1e-12)
    return t_low + fraction.clamp(0.0, 1.0) * (t_high - t_low)


def uniform_samples(
    near: Float[Tensor, " rays"], far: Float[Tensor, " rays"], samples: int, jitter: bool
) -> Float[Tensor, "rays samples"]:
    """Evenly spaced distances from near to far; with `jitter` all shifted by one random fraction of the spacing."""
    fractions = torch.linspace(0.0, 1.0, samples, device=near.device)
    if jitter:
        fractions = (fractions + (torch.rand((), device=near.device) - 0.5) / samples).clamp(0.0, 1.0)
    return near[:, None] + (far - near)[:, None] * fractions
