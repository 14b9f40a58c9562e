"""Intersection of rays with the unit ball, which holds everything that is traced, and with boxes in it."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def intersect_unit_ball(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"], Bool[Tensor, " rays"]]:
    """Near and far distance along unit `directions`, and a mask of the rays that meet the ball ahead of their origin.

    A ray that misses the ball has near = far = its closest approach to the centre (not behind the origin).
    """
    middle = -(origins * directions).sum(-1)
    half_chord_squared = 1.0 - (origins + middle[:, None] * directions).square().sum(-1)
    half_chord = half_chord_squared.clamp(min=0.0).sqrt()
    near, far = (middle - half_chord).clamp(min=0.0), (middle + half_chord).clamp(min=0.0)
    return near, far, (half_chord_squared > 0.0) & (far > 0.0)


def intersect_box(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], box: Float[Tensor, "2 3"]
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"], Bool[Tensor, " rays"]]:
    """Near and far distance at which rays enter and leave a box, and a mask of the rays that meet it ahead of their
    origin. Source: Kay and Kajiya, "Ray Tracing Complex Scenes", 1986 (slabs).

    Args:
        box: its lower and its upper corner.
    """
    # A direction along a face would divide by zero.
    safe = directions.where(directions.abs() > 1e-9, 1e-9)
    ends = (box[:, None] - origins) / safe
    near, far = ends.amin(dim=0).amax(dim=-1), ends.amax(dim=0).amin(dim=-1)
    near = near.clamp(min=0.0)
    return near, far, near < far


def points_along(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], t: Float[Tensor, "rays *s"]
) -> Float[Tensor, "rays *s 3"]:
    """origins + t * directions, for one or several distances t per ray."""
    extra = (1,) * (t.ndim - 1)
    return origins.view(-1, *extra, 3) + t[..., None] * directions.view(-1, *extra, 3)
