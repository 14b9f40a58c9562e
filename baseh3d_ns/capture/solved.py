"""Cameras as found: one record a photo, and the same cameras in another world."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from baseh3d_ns.cameras import Pinhole


@dataclass(frozen=True, eq=False)
class SolvedView:
    """A photo and the camera that was found for it."""

    name: str
    """Name of the photo."""
    camera: Pinhole | None
    """Camera in pixels of the whole photo as shown, without its distortion; None where the photo was not registered."""
    distortion: Float[np.ndarray, " 4"] = field(default_factory=lambda: np.zeros(4))
    """k1, k2, p1, p2 of OpenCV's model."""
    reprojection_error_px: float | None = None
    """Reprojection error in pixels of the whole photo, by structure from motion the median, by landmarks the mean; None
    where nothing was reprojected."""

    def moved(self, scale: float, rotation: Float[np.ndarray, "3 3"], offset: Float[np.ndarray, " 3"]) -> SolvedView:
        """The same view in the world x' = scale * rotation x + offset."""
        return self if self.camera is None else replace(self, camera=moved(self.camera, scale, rotation, offset))


def moved(
    camera: Pinhole, scale: float, rotation: Float[np.ndarray, "3 3"], offset: Float[np.ndarray, " 3"]
) -> Pinhole:
    """The same camera in the world x' = scale * rotation x + offset."""
    turned = camera.rotation @ rotation.T
    return replace(camera, rotation=turned, translation_mm=scale * camera.translation_mm - turned @ offset)
