"""Colours of the viewer's millimetres, and their legends."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

INWARDS, ZERO, OUTWARDS = (0.13, 0.35, 0.85), (1.0, 1.0, 1.0), (0.85, 0.12, 0.10)
"""Blue, white and red: the ends and the middle of signed lengths."""
AGREES, STICKS_OUT, IS_MISSING, UNKNOWN = (0.62, 0.80, 0.62), OUTWARDS, INWARDS, (0.55, 0.55, 0.55)
"""Colours of the surface where a silhouette agrees with it, where there is too much of it, where there should be some,
and where the photo says nothing."""
BACKDROP = 0.16
"""Grey behind a head whose own colours may be white."""
LEAST_SHADE = 0.6
"""Brightness of a surface seen from its side; seen from the front it is 1."""


def diverging(values_mm: Float[Tensor, "n"], range_mm: float) -> Float[Tensor, "n 3"]:
    """Colours of signed lengths: white at 0, blue at `-range_mm` and below, red at `range_mm` and above."""
    ends = values_mm.new_tensor([INWARDS, OUTWARDS])
    share = (values_mm / range_mm).clamp(-1.0, 1.0)
    return torch.lerp(values_mm.new_tensor([ZERO]), ends[(share > 0.0).long()], share.abs()[:, None])


def shaded(
    colours: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    """Colours in a light at the camera, so that a shape is seen, from either side.

    Args:
        normals: unit normals.
        directions: unit directions from the camera to the surface.
    """
    facing = (normals * directions).sum(-1, keepdim=True).abs()
    return colours * (LEAST_SHADE + (1.0 - LEAST_SHADE) * facing.clamp(max=1.0))


def bar(colours: Float[np.ndarray, "n 3"], labels: list[str], blocks: bool = False) -> str:
    """A colour bar as Markdown, its labels spread evenly below, from end to end or each below its block."""
    strip = np.repeat((255.0 * colours).round().astype(np.uint8)[None], 14, axis=0)
    figure = Figure(figsize=(3.2, 0.55), dpi=150, facecolor="none")
    axes = figure.add_axes((0.04, 0.5, 0.92, 0.45))
    axes.imshow(strip, aspect="auto", extent=(0.0, 1.0, 0.0, 1.0))
    axes.set_yticks([])
    end = 0.5 / len(labels) if blocks else 0.0
    axes.set_xticks(np.linspace(end, 1.0 - end, len(labels)), labels, fontsize=10)
    axes.tick_params(colors="#868e96", length=2)
    return as_markdown(pixels_of(figure), "legend")


def pixels_of(figure: Figure) -> UInt8[np.ndarray, "h w 4"]:
    """RGBA picture of a figure, drawn without a window."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def as_markdown(picture: UInt8[np.ndarray, "h w c"], name: str) -> str:
    """A picture within Markdown."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return f"![{name}](data:image/png;base64,{base64.b64encode(file.getvalue()).decode()})"
