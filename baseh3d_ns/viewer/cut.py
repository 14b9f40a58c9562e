"""A plane through the signed distance field, with iso-lines in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.rendering.chunks import Sdf, in_chunks
from baseh3d_ns.texture.atlas import RIGHT_AND_DOWN
from baseh3d_ns.viewer.colours import pixels_of

AXES = ("x", "y", "z")
"""Axes of the world that a plane may be perpendicular to."""
SAMPLES = 192
"""Samples across a plane."""
ISO_MM = 10.0
"""Distance between two iso-lines."""
PIXELS = 640
SIDES = LinearSegmentedColormap.from_list("sides", ["#e8a87c", "#ffffff", "#9ecae1"])
"""Inside, surface, outside."""


@dataclass(frozen=True)
class Plane:
    """A plane perpendicular to an axis of the world."""

    axis: int
    offset_mm: float
    """Distance from the middle of the unit ball along the axis."""

    def directions(self) -> Float[np.ndarray, "2 3"]:
        """Unit vectors to the right and downwards in the plane's picture."""
        return RIGHT_AND_DOWN[2 * self.axis]

    def position(self, frame: SceneFrame) -> Float[np.ndarray, " 3"]:
        """Middle of the picture in the unit frame."""
        return np.eye(3)[self.axis] * self.offset_mm / frame.radius_mm

    def sample_mm(self, sdf: Sdf, frame: SceneFrame, device: torch.device) -> Float[np.ndarray, "s s"]:
        """Signed distances on the plane, over the width of the unit ball, row by row."""
        across = np.linspace(-1.0, 1.0, SAMPLES)
        right, down = self.directions()
        points = self.position(frame) + across[:, None, None] * down + across[None, :, None] * right
        with torch.no_grad():
            values = in_chunks(sdf, torch.from_numpy(points).float().to(device))
        return values.cpu().numpy() * frame.radius_mm


def picture(
    plane: Plane, sdf: Sdf, start: Sdf | None, frame: SceneFrame, device: torch.device
) -> UInt8[np.ndarray, "h w 3"]:
    """Signed distances on a plane: the surface in black, an iso-line every 10 mm, the prior's surface in green.

    Args:
        sdf: signed distance in the unit frame.
        start: that of the prior as it was placed.
        frame: unit ball in millimetres.
        device: where they want their points.

    Raises:
        InputError: a signed distance is not finite.
    """
    values = plane.sample_mm(sdf, frame, device)
    if not np.isfinite(values).all():
        raise InputError("the signed distances are not finite: training diverged, try a smaller learning rate")
    reach_mm = frame.radius_mm
    across = np.linspace(-reach_mm, reach_mm, SAMPLES)
    figure = Figure(figsize=(PIXELS / 100.0, PIXELS / 100.0), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(values, cmap=SIDES, vmin=-60.0, vmax=60.0, extent=(-reach_mm, reach_mm, reach_mm, -reach_mm))
    levels = np.arange(np.floor(values.min() / ISO_MM), np.ceil(values.max() / ISO_MM) + 1.0) * ISO_MM
    lines = axes.contour(across, across, values, levels=levels[levels != 0.0], colors="#5c6670", linewidths=0.6)
    axes.clabel(lines, fmt="%g mm", fontsize=7)
    if start is not None:
        prior = plane.sample_mm(start, frame, device)
        axes.contour(across, across, prior, levels=[0.0], colors="#2b8a3e", linewidths=1.4, linestyles="dashed")
    axes.contour(across, across, values, levels=[0.0], colors="black", linewidths=2.0)
    axes.set_axis_off()
    return pixels_of(figure)[..., :3]
