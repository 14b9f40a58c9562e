"""Cameras as found: one record a photo, and the same cameras in a world of another size."""

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
    odd: bool = False
    """Whether it was left out, since it hardly shows what the other photos show."""

    def scaled(self, factor: float) -> SolvedView:
        """The same view in a world that is larger by a factor."""
        return self if self.camera is None else replace(self, camera=scaled(self.camera, factor))


def scaled(camera: Pinhole, factor: float) -> Pinhole:
    """The same camera in a world that is larger by a factor."""
    return replace(camera, translation_mm=factor * camera.translation_mm)
