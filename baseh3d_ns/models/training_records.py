"""Records that travel down IDR's path of a ray: the batch, the field at its points, and all that the losses need."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """A batch of training rays in the unit frame."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    """Unit length."""
    in_mask: Bool[Tensor, " rays"]
    """Whether the pixel lies on the head."""
    far_from_edge: Bool[Tensor, " rays"]
    """Whether the pixel lies well inside the head, as far as the batch says."""
    views: Int[Tensor, " rays"]
    """Number of the view that the ray belongs to."""


@dataclass(frozen=True)
class FieldSamples:
    """SDF and gradients at the points that one call of the network was asked for."""

    sdf: Float[Tensor, " rays"]
    """SDF at the traced points."""
    gradients: Float[Tensor, "rays 3"]
    """SDF gradients at the traced points."""
    gradients_in_box: Float[Tensor, "box 3"]
    """SDF gradients at points uniform in the box."""
    anchor: Float[Tensor, ""] | None
    """Loss of the prior anchor at its own points, which no other loss sees."""


@dataclass(frozen=True)
class TrainingPass:
    """All that the losses need."""

    on_surface: Bool[Tensor, " rays"]
    """Rays that meet the surface and lie in the mask: they carry colour; all others carry the mask loss."""
    sdf: Float[Tensor, " rays"]
    """SDF at the traced point; for rays off the surface, the minimum along the ray."""
    gradients: Float[Tensor, "points 3"]
    """SDF gradients at the traced points and at points uniform in the box, for the eikonal loss."""
    colour: Float[Tensor, "hits 3"]
    """RGB in [0, 1] of the rays on the surface, in their order."""
    ncc: Float[Tensor, ""] | None
    """Photo consistency loss."""
    anchor: Float[Tensor, ""] | None
    """Prior anchor loss."""
