"""Contact sheet of a set: a row for each subject, five views from profile to back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

VIEWS_SHOWN = 5
"""Columns of the sheet."""


def save_contact_sheet(scenes: Sequence[Path], path: Path) -> None:
    """Tile views spread over the whole orbit of each scene folder into one PNG."""
    rows = []
    for scene in scenes:
        images = sorted((scene / "image").glob("*.jpg"))
        # The last view lies beside the first: leave it out of the spread.
        shown = np.linspace(0, len(images) - 1, VIEWS_SHOWN + 1)[:-1].round().astype(int)
        rows.append(np.hstack([np.asarray(Image.open(images[view])) for view in shown]))
    Image.fromarray(np.vstack(rows)).save(path)
