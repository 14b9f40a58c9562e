"""Principal components of a shape space's latents: which heads are likely, and along which directions they vary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RELATIVE_THRESHOLD = 1e-4
"""Components with a smaller standard deviation than this fraction of the largest are dropped."""


@dataclass(frozen=True)
class LatentPca:
    """Latents as PCA coefficients, in standard deviations along the principal components."""

    mean: Float[Tensor, " l"]
    """Latent of the mean head."""
    components: Float[Tensor, "k l"]
    """Principal components, at right angles to each other, each a standard deviation long."""

    @classmethod
    def fit(cls, latents: Float[Tensor, "heads l"], mean: Float[Tensor, " l"], count: int) -> LatentPca:
        """PCA about `mean` with the first `count` components, or as many as there are."""
        components = principal_components(latents.to(mean), mean, count)
        lengths = components.norm(dim=1)
        return cls(mean, components[lengths > RELATIVE_THRESHOLD * lengths.max()])

    def decode(self, coefficients: Float[Tensor, "*heads k"]) -> Float[Tensor, "*heads l"]:
        """Latents with these coefficients."""
        return self.mean + coefficients @ self.components

    def encode(self, latents: Float[Tensor, "*heads l"]) -> Float[Tensor, "*heads k"]:
        """Coefficients of the closest latents that have any."""
        return (latents - self.mean) @ self.components.T / self.components.square().sum(dim=1)


@torch.no_grad()
def mean_latent(latents: Float[Tensor, "heads l"], symmetric: int) -> Float[Tensor, " l"]:
    """Mean over the heads and their mirror images: numbers from `symmetric` on change sign in those, so they are 0."""
    mean = latents.mean(dim=0)
    mean[symmetric:] = 0.0
    return mean


@torch.no_grad()
def principal_components(
    latents: Float[Tensor, "heads l"], mean: Float[Tensor, " l"], count: int
) -> Float[Tensor, "count l"]:
    """Directions along which latents vary most about `mean`, each as long as their standard deviation along it."""
    _, strengths, directions = torch.linalg.svd(latents - mean, full_matrices=False)
    return (strengths[:, None] * directions / len(latents) ** 0.5)[:count]
