"""Legends of the viewer's pictures, and the curve of the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from baseh3d_ns.viewer.colours import AGREES, IS_MISSING, STICKS_OUT, UNKNOWN, bar, diverging

LEVELS = 256
IN_MM = ("prior_shift_mm", "error_mm")
"""Pictures whose colours end at a length that can be chosen."""


def legend_of(output: str, range_mm: float) -> str | None:
    """Markdown that explains the colours of a picture; None for those that need no words."""
    if output == "prior_shift_mm":
        colours = diverging(torch.linspace(-range_mm, range_mm, LEVELS), range_mm).numpy()
        labels = [f"{value:+g}" if value else "0" for value in (-range_mm, 0.0, range_mm)]
        return f"Shift since the prior, mm: blue inwards, red outwards\n\n{bar(colours, labels)}"
    if output == "error_mm":
        from baseh3d_ns.evaluation.pictures import UNKNOWN_MM, error_colours

        colours = error_colours(np.linspace(0.0, range_mm, LEVELS), range_mm) / 255.0
        text = f"Distance to the scan, mm, not aligned (grey: beyond {UNKNOWN_MM:g} mm)"
        return f"{text}\n\n{bar(colours, ['0', f'{range_mm / 2.0:g}', f'{range_mm:g}'])}"
    if output == "silhouette":
        colours = np.repeat([AGREES, STICKS_OUT, IS_MISSING, UNKNOWN], LEVELS // 4, axis=0)
        return f"Mask of the nearest photo\n\n{bar(colours, ['agrees', 'too much', 'missing', 'unknown'], blocks=True)}"
    return {
        "photo": "The nearest photo on the surface that it sees; grey elsewhere",
        "depth": "Distance along the ray, in units of the unit ball",
        "normal": "Normals in the world's axes: x is red, y is green, z is blue",
        "normal_camera": "Normals in the camera's axes: right is red, up is green, towards you is blue",
    }.get(output)


def loss_curve(steps: list[int], losses: list[float]) -> Any:
    """Figure of the loss against the step."""
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(x=steps, y=losses, mode="lines", line={"width": 1}))
    figure.update_layout(
        margin={"l": 40, "r": 10, "t": 10, "b": 30},
        template="plotly_dark",
        autosize=True,
        xaxis_title="step",
        yaxis={"title": "loss", "type": "log" if len(losses) and min(losses) > 0.0 else "linear"},
    )
    return figure
