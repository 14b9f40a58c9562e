"""Surface where a photo shows background: it cannot be part of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.camera_corrections import corrections_of
from baseh3d_ns.evaluation.head_photos import photos_of_head
from baseh3d_ns.evaluation.posed_photos import PosedPhotos
from baseh3d_ns.heads.opened import OpenedHead

MARGIN_MM = 3.0
"""Distance outside a silhouette, on the head, up to which nothing is concluded: silhouettes are off by pixels."""


WRONG_SHARE = 0.05
"""Share of a head on the background of one photo above which that photo is doubted."""
SIDE_PX = 512
"""Longest side of the photos in pixels: a millimetre on the head."""


@dataclass(frozen=True)
class OnBackground:
    """Surface that photos show to lie outside the head."""

    share: float
    """Share of the vertices that any photo shows so, 0 to 1."""
    worst_photo: str
    """Name of the photo that shows most of them so."""
    worst_share: float
    """Share of the vertices that this photo shows so."""
    others_share: float | None
    """Median over the other photos of the same share; None without any."""

    def doubts(self) -> tuple[str, ...]:
        """A sentence where photos contradict much of the head; one photo is blamed where the others do not."""
        if self.worst_share <= WRONG_SHARE:
            return ()
        percent = f"{100.0 * self.worst_share:.0f} %"
        if self.others_share is not None and self.others_share <= WRONG_SHARE:
            said = f"{self.worst_photo} shows background where {percent} of the head is: look at its mask and camera."
        else:
            said = (
                f"The head reaches beyond its silhouettes, with {percent} of it in {self.worst_photo}: train longer, "
                "or look at its masks and cameras."
            )
        return (said,)


def find_on_background(
    opened: OpenedHead, vertices_mm: Float[np.ndarray, "n 3"]
) -> tuple[OnBackground | None, tuple[str, ...]]:
    """`on_background` for the photos that a head was trained on, None where they are not known; and a doubt, if any.

    Args:
        opened: the head.
        vertices_mm: vertices of the head's mesh, in world millimetres.
    """
    if opened.head.latents is not None:
        return None, ()  # a shape space has no photos
    try:
        photos = photos_of_head(opened, SIDE_PX).training
        found = on_background(vertices_mm, PosedPhotos(photos, corrections_of(opened.head, photos)))
    except InputError as error:
        return None, (f"Whether the head reaches into its photos' background was not looked at: {error}",)
    return found, found.doubts()


def on_background(vertices_mm: Float[np.ndarray, "n 3"], photos: PosedPhotos) -> OnBackground:
    """Vertices that photos show to lie more than `MARGIN_MM` outside the head.

    They count whether or not something hides them: nothing of the head is where background is seen.
    """
    far = np.stack([_on_background(vertices_mm, photos, view) for view in range(len(photos))])
    shares = far.mean(axis=1)
    worst = int(shares.argmax())
    others = np.delete(shares, worst)
    return OnBackground(
        share=float(far.any(axis=0).mean()),
        worst_photo=photos.dataset.image_filenames[worst].name,
        worst_share=float(shares[worst]),
        others_share=float(np.median(others)) if len(others) else None,
    )


def _on_background(vertices_mm: Float[np.ndarray, "n 3"], photos: PosedPhotos, view: int) -> Bool[np.ndarray, " n"]:
    """Whether the pixel of each vertex lies that far from all pixels that show the head, or that say nothing."""
    from scipy.ndimage import distance_transform_edt

    background = ~photos.dataset.mask(view) & photos.dataset.known(view)
    # Where within a pixel a silhouette ends is not known.
    if background.all():
        return np.ones(len(vertices_mm), bool)
    distance_mm = (distance_transform_edt(background) - 1.0) / photos.pixels_per_mm(view)
    column, row = np.floor(photos.project(vertices_mm, view).numpy()).T
    height, width = background.shape
    shown = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    far = np.zeros(len(vertices_mm), bool)
    far[shown] = distance_mm[row[shown].astype(int), column[shown].astype(int)] > MARGIN_MM
    return far
