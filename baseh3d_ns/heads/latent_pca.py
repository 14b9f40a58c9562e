"""What the heads that a shape space was learned from say about others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

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


@torch.no_grad()
def mean_latent(codes: Float[Tensor, "heads latent"], shared: int) -> Float[Tensor, " latent"]:
    """Of heads and their mirror images: what changes sign is 0."""
    mean = codes.mean(dim=0)
    mean[shared:] = 0.0
    return mean


@torch.no_grad()
def main_directions(
    codes: Float[Tensor, "heads latent"], centre: Float[Tensor, " latent"], count: int
) -> Float[Tensor, "count latent"]:
    """The directions along which latents vary most about `centre`, each as long as their standard deviation there."""
    _, strengths, directions = torch.linalg.svd(codes - centre, full_matrices=False)
    return (strengths[:, None] * directions / len(codes) ** 0.5)[:count]
