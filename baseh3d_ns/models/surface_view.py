"""Surface of a head as a camera sees it, and the pictures of it: each is computed when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.chunks import Sdf, in_chunks, points_per_call
from baseh3d_ns.rendering.sphere_tracing import Hits, Tracer

BACKGROUND = 1.0
"""White, as in IDR's own pictures."""
LONG_STEP, LONGEST_STEP = 2e-3, 0.02
"""Step of Newton's method that asks for another, and its limit, in units of the unit ball."""
VIEWERS_DEPTH = "gl_z_buf_depth"
"""Name under which nerfstudio's viewer adds the depth that it sends with a picture: no output to choose."""
LEAST_SLOPE = 0.1
"""Slope of the SDF along the ray that a step reckons with at least."""


@runtime_checkable
class VisibleField(Protocol):
    """Signed distance and colours in the unit frame, as a `HeadField` has them."""

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Signed distance."""
        ...

    def with_gradient(
        self, points: Float[Tensor, "n 3"], create_graph: bool
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"], Float[Tensor, "n 3"]]:
        """Signed distance, features that the colours need, SDF gradient."""
        ...

    def colour(
        self,
        points: Float[Tensor, "n 3"],
        gradients: Float[Tensor, "n 3"],
        view_directions: Float[Tensor, "n 3"],
        features: Float[Tensor, "n f"],
    ) -> Float[Tensor, "n 3"]:
        """RGB in [0, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class SurfaceView:
    """Points where rays meet the surface, and pictures of them; one value a ray, flat."""

    field: VisibleField
    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    """Unit length."""
    hits: Hits
    """Traced roughly."""
    background: Float[Tensor, " 3"] | float = BACKGROUND
    """Colour of rays that meet nothing."""
    from_inside: Bool[Tensor, " rays"] | None = None
    """Rays that begin inside of a cropped head and see its surface from there; None: no ray does."""
    cropped_away: Bool[Tensor, " rays"] | None = None
    """Rays that miss what a crop left of the surface, but not all of it, or miss the crop's box; None: no ray does."""

    @classmethod
    @torch.no_grad()
    def trace(
        cls,
        field: VisibleField,
        tracer: Tracer,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        rays_per_chunk: int = 1 << 16,
    ) -> SurfaceView:
        """Trace rays; those that miss the unit ball cost nothing."""
        return cls(field, origins, directions, traced(field.sdf, tracer, origins, directions, rays_per_chunk))

    @torch.no_grad()
    def cropped(
        self,
        tracer: Tracer,
        near: Float[Tensor, " rays"],
        far: Float[Tensor, " rays"],
        background: Tensor,
        rays_per_chunk: int = 1 << 16,
    ) -> SurfaceView:
        """The same view of that surface only which lies between those distances along the rays, with what the rest
        hid; a ray that is inside of the head at `near` sees it from there, as in a mesh that is cut open."""
        t, hit = self.hits.t.clone(), self.hits.hit.clone()
        hidden = (self.hits.hit & (self.hits.t <= near) & (near < far)).nonzero()[:, 0]
        starts = points_along(self.origins[hidden], self.directions[hidden], near[hidden])
        inside = in_chunks(self.field.sdf, starts) < 0.0
        from_inside = torch.zeros_like(hit)
        from_inside[hidden[inside]] = True
        outwards = tracer.inside_out(self.field.sdf) if inside.any() else tracer
        for which, way, sdf in (
            (~inside, tracer, self.field.sdf),
            (inside, outwards, lambda points: -self.field.sdf(points)),
        ):
            rays = hidden[which]
            found = traced(sdf, way, starts[which], self.directions[rays], rays_per_chunk)
            t[rays], hit[rays] = near[rays] + found.t, found.hit
        hit &= (near <= t) & (t <= far)
        away = ~hit & (self.hits.hit | (near >= far))
        return replace(self, hits=Hits(t, hit), background=background, from_inside=from_inside, cropped_away=away)

    @cached_property
    def points(self) -> Float[Tensor, "hits 3"]:
        """Surface points of the rays that meet the surface, in their order."""
        on = self.hits.hit
        return points_along(self.origins[on], self.directions[on], self._on_surface[0])

    @cached_property
    def _on_surface(self) -> tuple[Float[Tensor, " hits"], Float[Tensor, "hits f"], Float[Tensor, "hits 3"]]:
        """Distances of the surface along the rays that meet it, features and SDF gradients there: a step of Newton's
        method from the traced points, and another where that was long."""
        on = self.hits.hit
        origins, directions, inwards = self.origins[on], self.directions[on], self._inwards
        t, features, gradients = self._newton_step(origins, directions, inwards, self.hits.t[on])
        again = ((t - self.hits.t[on]).abs() > LONG_STEP).nonzero()[:, 0]
        second = self._newton_step(origins[again], directions[again], inwards[again], t[again])
        t[again], features[again], gradients[again] = second
        return t, features, gradients

    @property
    def _inwards(self) -> Float[Tensor, "hits 1"]:
        """1 for a ray that meets the surface from outside, -1 for one that leaves the head there."""
        directions = self.directions[self.hits.hit]
        inwards = directions.new_ones(len(directions), 1)
        if self.from_inside is not None:
            inwards[self.from_inside[self.hits.hit]] = -1.0
        return inwards

    def _newton_step(
        self,
        origins: Float[Tensor, "n 3"],
        directions: Float[Tensor, "n 3"],
        inwards: Float[Tensor, "n 1"],
        t: Float[Tensor, " n"],
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"], Float[Tensor, "n 3"]]:
        """Distances after the step; features and SDF gradients before it."""
        points = points_along(origins, directions, t)
        chunks = points.split(points_per_call(points.device, with_gradient=True))
        parts = [self.field.with_gradient(chunk, create_graph=False) for chunk in chunks]
        sdf, features, gradients = (torch.cat(part) for part in zip(*parts, strict=True))
        slope = (gradients * directions * inwards).sum(-1).clamp(max=-LEAST_SLOPE) * inwards[:, 0]
        return t - (sdf / slope).clamp(-LONGEST_STEP, LONGEST_STEP), features, gradients

    @property
    def surface_normals(self) -> Float[Tensor, "hits 3"]:
        """Unit normals of the surface points."""
        return normalize(self._on_surface[2], dim=-1)

    def paint(self, values: Float[Tensor, "hits c"], elsewhere: Float[Tensor, " c"] | float) -> Float[Tensor, "rays c"]:
        """Values of the surface points in the rays' order, and one for all rays that miss."""
        picture = values.new_empty((len(self.origins), values.shape[1]))
        picture[:] = elsewhere
        picture[self.hits.hit] = values
        return picture

    def rgb(self) -> Float[Tensor, "rays 3"]:
        """Colours, of either side as seen from outside; a miss has that of the background."""
        views = -self.directions[self.hits.hit] * self._inwards
        chunk = points_per_call(self.points.device, with_gradient=True)
        _, features, gradients = self._on_surface
        parts = zip(*(part.split(chunk) for part in (self.points, gradients, views, features)), strict=True)
        return self.paint(torch.cat([self.field.colour(*part).detach() for part in parts]), self.background)

    def depth(self) -> Float[Tensor, "rays 1"]:
        """Distance along the ray; a miss lies behind the ball."""
        distances = self.origins.norm(dim=-1) + 2.0
        distances[self.hits.hit] = self._on_surface[0]
        return distances[:, None]

    def normal(self) -> Float[Tensor, "rays 3"]:
        """World normals, from -1 to 1 brought to 0 to 1; a miss is white."""
        return self.paint(0.5 * (self.surface_normals + 1.0), BACKGROUND)

    def normal_camera(self, camera: Cameras) -> Float[Tensor, "rays 3"]:
        """The same in the camera's axes: x right is red, y up is green, towards the viewer is blue."""
        turned = self.surface_normals @ normalize(camera.camera_to_worlds[0, :, :3], dim=0)
        return self.paint(0.5 * (turned + 1.0), BACKGROUND)

    def accumulation(self) -> Float[Tensor, "rays 1"]:
        """1 for a ray that meets the surface, else 0."""
        return self.hits.hit[:, None].to(self.origins.dtype)


def traced(
    sdf: Sdf,
    tracer: Tracer,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    rays_per_chunk: int,
) -> Hits:
    """Rough hits of rays; those that miss the unit ball cost nothing."""
    _, far, in_ball = intersect_unit_ball(origins, directions)
    t, hit = far.clone(), torch.zeros_like(in_ball)
    with parametrize.cached():  # weight norm once, not at every of the tracer's calls
        for rays in in_ball.nonzero()[:, 0].split(rays_per_chunk):
            found = tracer.trace_roughly(sdf, origins[rays], directions[rays])
            t[rays], hit[rays] = found.t, found.hit
    return Hits(t=t, hit=hit)


class Pictures(MutableMapping[str, Tensor]):
    """nerfstudio's dictionary of outputs; each is computed once, when first asked for.

    Its viewer shows one output of many, and `ns-render` writes those it was told to.
    """

    def __init__(self, shape: tuple[int, ...], producers: dict[str, Callable[[], Tensor]]) -> None:
        self._shape, self._producers = shape, producers
        self._made: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._made:
            with torch.no_grad():
                self._made[name] = self._producers[name]().reshape(*self._shape, -1)
        return self._made[name]

    def __setitem__(self, name: str, picture: Tensor) -> None:
        self._made[name] = picture

    def __delitem__(self, name: str) -> None:
        self._producers.pop(name, None)
        self._made.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._producers or name in self._made

    def __iter__(self) -> Iterator[str]:
        yield from self._producers
        # What `ns-render` adds can be chosen there; the viewer's own buffer cannot.
        yield from (name for name in self._made if name not in self._producers and name != VIEWERS_DEPTH)

    def __len__(self) -> int:
        return sum(1 for _ in self)
