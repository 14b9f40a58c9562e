"""What the heads that a shape space was learned from say about others."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.models.shape_space import main_directions

LEAST_SPREAD = 1e-4
"""Of the widest direction's: along narrower ones the heads do not differ."""


@dataclass(frozen=True)
class LikelyLatents:
    """Latents as codes: so many standard deviations along each of the directions in which heads vary most."""

    centre: Float[Tensor, " l"]
    """The mean head's."""
    spread: Float[Tensor, "k l"]
    """The main directions, at right angles to each other, each a standard deviation long."""

    @classmethod
    def of(cls, latents: Float[Tensor, "heads l"], centre: Float[Tensor, " l"], count: int) -> LikelyLatents:
        """Of the heads with these latents, the first so many directions, or as many as there are."""
        spread = main_directions(latents.to(centre), centre, count)
        lengths = spread.norm(dim=1)
        return cls(centre, spread[lengths > LEAST_SPREAD * lengths.max()])

    def at(self, codes: Float[Tensor, "*heads k"]) -> Float[Tensor, "*heads l"]:
        """The latents with these codes."""
        return self.centre + codes @ self.spread

    def codes(self, latents: Float[Tensor, "*heads l"]) -> Float[Tensor, "*heads k"]:
        """Those of the closest latents that have any."""
        return (latents - self.centre) @ self.spread.T / self.spread.square().sum(dim=1)
