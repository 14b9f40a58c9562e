"""What the heads that a shape space was learned from say about others."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.models.shape_space import main_directions


@dataclass(frozen=True)
class LikelyLatents:
    """Latents as codes: so many standard deviations along each of the directions in which heads vary most."""

    centre: Float[Tensor, " l"]
    """The mean head's."""
    spread: Float[Tensor, "k l"]
    """The main directions, at right angles to each other, each a standard deviation long."""

    @classmethod
    def of(cls, latents: Float[Tensor, "heads l"], centre: Float[Tensor, " l"], count: int) -> LikelyLatents:
        """Of the heads with these latents, the first so many directions."""
        return cls(centre, main_directions(latents.to(centre), centre, count))

    def at(self, codes: Float[Tensor, " k"]) -> Float[Tensor, " l"]:
        """The latent with these codes."""
        return self.centre + codes @ self.spread

    def codes(self, latent: Float[Tensor, " l"]) -> Float[Tensor, " k"]:
        """Those of the closest latent that has any."""
        return self.spread @ (latent - self.centre) / self.spread.square().sum(dim=1)
