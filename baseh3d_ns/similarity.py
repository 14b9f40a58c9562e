"""Similarities of space: scale, rotation, translation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Similarity:
    """x' = scale * rotation x + offset."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    offset: Float[np.ndarray, " 3"]

    def points(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points x -> x'."""
        return self.scale * points @ self.rotation.T + self.offset

    def inverse(self) -> Similarity:
        """x' -> x."""
        back = self.rotation.T
        return Similarity(1.0 / self.scale, back, -back @ self.offset / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """This similarity of what `first` gives."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self.points(first.offset))


def align(points: Float[np.ndarray, "n 3"], targets: Float[np.ndarray, "n 3"]) -> Similarity:
    """Similarity of least squares from points to targets (Umeyama, PAMI 1991)."""
    centred, centred_targets = points - points.mean(axis=0), targets - targets.mean(axis=0)
    left, spread, right = np.linalg.svd(centred_targets.T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = float((spread * signs).sum() / (centred**2).sum())
    return Similarity(scale, rotation, targets.mean(axis=0) - scale * rotation @ points.mean(axis=0))
