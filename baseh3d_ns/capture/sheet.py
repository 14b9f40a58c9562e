"""`capture.png`, a sheet to look at: every photo with silhouette, ball and face axes, and the cameras from above."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from baseh3d_ns.errors import readable
from baseh3d_ns.own_photos.head_frame import HeadFrame
from baseh3d_ns.own_photos.own_views import OwnView

TILE_IN = 2.2
"""Side of a photo on the sheet, in inches."""
TILE_PX = 360
"""Longer side of a photo on the sheet, in pixels."""
DIM = 0.35
"""Brightness of what is not head."""
UNKNOWN = (235, 90, 200)
"""Colour of the pixels that nothing is concluded from."""
LETTERS_PER_IN, LINE_IN = 12.0, 0.17
"""Letters of the title in an inch, and height of its lines in inches."""
AXES = (((1.0, 0.0, 0.0), "tab:red"), ((0.0, 1.0, 0.0), "tab:green"), ((0.0, 0.0, 1.0), "tab:blue"))
"""Directions to the subject's left, up and ahead, and their colours."""


def save_sheet(path: Path, views: Sequence[OwnView], frame: HeadFrame, title: str) -> None:
    """Draw the views and write the sheet as PNG."""
    count = len(views) + 1
    columns = min(count, max(4, math.ceil(math.sqrt(1.6 * count))))
    rows = math.ceil(count / columns)
    lines = textwrap.wrap(title, round(LETTERS_PER_IN * TILE_IN * columns))
    figure = Figure(figsize=(TILE_IN * columns, TILE_IN * rows + LINE_IN * (len(lines) + 2)), layout="constrained")
    figure.suptitle(readable("\n".join(lines)), fontsize=9, parse_math=False)
    tiles = figure.subplots(rows, columns, squeeze=False).ravel()
    _plan(tiles[0], views, frame.radius_mm)
    for tile, view in zip(tiles[1:], views, strict=False):
        _photo(tile, view, frame.radius_mm)
    for tile in tiles[count:]:
        tile.axis("off")
    figure.savefig(path, dpi=130)


def _photo(tile: Any, view: OwnView, radius_mm: float) -> None:
    """A view with its silhouette bright, unknown pixels tinted, and the axes of the head."""
    picture = Image.fromarray(overlay(view))
    factor = min(1.0, TILE_PX / max(picture.size))
    picture = picture.resize((max(1, round(factor * picture.width)), max(1, round(factor * picture.height))))
    tile.imshow(picture)
    for direction, colour in AXES:
        ends = view.camera.project(0.55 * radius_mm * np.array([[0.0, 0.0, 0.0], direction])) * factor
        tile.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=1.5)
    tile.set(xlim=(0, picture.width), ylim=(picture.height, 0))
    tile.set_title(readable(view.shot.name.rsplit("/", 1)[-1]), fontsize=6, pad=2, parse_math=False)
    tile.axis("off")


def overlay(view: OwnView) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, dim outside the silhouette and tinted where nothing is concluded."""
    picture = view.picture
    light = np.where(picture.mask, 1.0, DIM)[..., None]
    shown = picture.photo * light
    unknown = ~picture.known
    shown[unknown] = 0.6 * shown[unknown] + 0.4 * np.array(UNKNOWN)
    return np.asarray(shown.round(), np.uint8)


def _plan(tile: Any, views: Sequence[OwnView], radius_mm: float) -> None:
    """Cameras from above, the face looks down."""
    centres = np.array([view.camera.centre_mm for view in views])
    ahead = np.array([view.camera.rotation[2] for view in views])
    reach = float(np.abs(centres[:, [0, 2]]).max())
    turn = np.linspace(0.0, 2.0 * np.pi, 60)
    tile.plot(radius_mm * np.sin(turn), radius_mm * np.cos(turn), color="0.5", linewidth=0.8)
    tile.plot([0.0, 0.0], [0.0, radius_mm], color="tab:blue", linewidth=1.5)
    tile.quiver(
        centres[:, 0],
        centres[:, 2],
        ahead[:, 0],
        ahead[:, 2],
        angles="xy",
        scale_units="xy",
        scale=4.0 / max(reach, 1e-9),
        width=0.008,
    )
    tile.scatter(centres[:, 0], centres[:, 2], s=8, color="black")
    limit = 1.15 * max(reach, radius_mm)
    tile.set(xlim=(-limit, limit), ylim=(limit, -limit), aspect="equal", xticks=[], yticks=[])
    tile.set_title(f"from above, face down; ball {2 * radius_mm:.0f} mm wide", fontsize=6, pad=2)
