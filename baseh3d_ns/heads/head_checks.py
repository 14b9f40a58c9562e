"""Checks of a head that was read from a file which anybody may have written, before a network is filled with it."""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor

from baseh3d_ns.heads.head_file import LATENT, MOMENTS, PLACEMENT, Head

PROVENANCE: dict[str, tuple[type, ...]] = {
    "views": (list,),
    "epochs": (int, float),
    "steps": (int,),
    "scene": (str,),
    "data": (str,),
    "method": (str,),
    "load_prior": (str,),
    "warnings": (list,),
}
"""Types of the entries of a provenance that something is made of; all may be absent or null."""
FARTHEST_MM = 1e7
"""Coordinates of a unit ball's centre, in millimetres: farther away, single precision has no millimetres."""
RADIUS_RANGE_MM = (1.0, 1e5)
"""Radii of a unit ball that a head may stand in, in millimetres."""


def check_head(head: Head) -> None:
    """Raise `ValueError` unless all that the head records is finite, of a sensible shape, and fits together."""
    frame = head.frame
    if frame is not None:
        # NaN fails too.
        if len(frame.centre_mm) != 3 or not all(abs(number) <= FARTHEST_MM for number in frame.centre_mm):
            raise ValueError(f"the centre of its unit frame is {frame.centre_mm}")
        if not RADIUS_RANGE_MM[0] <= frame.radius_mm <= RADIUS_RANGE_MM[1]:
            raise ValueError(f"the radius of its unit frame is {frame.radius_mm:g} mm")
    if not head.weights:
        raise ValueError("it has no weights")
    named = {**head.weights, **head.view_corrections, **head.moments}
    for name, tensor in {**named, "latents": head.latents, "cameras.centres": head.camera_centres}.items():
        if tensor is not None:
            _check_tensor(name, tensor)
    _check_latents(head)
    if head.camera_centres is not None and (head.camera_centres.ndim != 2 or head.camera_centres.shape[1] != 3):
        raise ValueError("its camera centres are no points")
    _check_moments(head)
    _check_provenance(head.provenance)


def _check_tensor(name: str, tensor: Any) -> None:
    """Raise `ValueError` unless these are finite real numbers, in the shape that their name says."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not tensor.numel():
        raise ValueError(f"'{name}' are no real numbers")
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"'{name}' is not finite")
    if re.fullmatch(r".*\.lin\d+\.weight_[vg]", name) and tensor.ndim != 2:
        raise ValueError(f"'{name}' is no matrix")
    if re.fullmatch(r"\w+\.lin\d+\.weight_v", name) and not bool(tensor.any(dim=1).all()):
        raise ValueError(f"'{name}' has a row of zeros, which has no direction")
    if re.fullmatch(r".*\.lin\d+\.bias", name) and tensor.ndim != 1:
        raise ValueError(f"'{name}' is no vector")
    if name == PLACEMENT and tensor.shape != (7,):
        raise ValueError(f"'{name}' has {tensor.numel()} numbers, a similarity 7")


def _check_latents(head: Head) -> None:
    """Raise `ValueError` unless the latents of the heads are as long as the mean head's."""
    mean = head.weights.get(LATENT)
    if mean is not None and mean.ndim != 1:
        raise ValueError("its mean latent is no vector")
    if head.latents is not None and (head.latents.ndim != 2 or mean is None or head.latents.shape[1] != len(mean)):
        there = "none" if mean is None else f"{len(mean)} numbers"
        raise ValueError(f"its latents are {' x '.join(map(str, head.latents.shape))}, its mean head's {there}")


def _check_moments(head: Head) -> None:
    """Raise `ValueError` unless every moment has a weight of its shape."""
    if head.adam_steps < 0:
        raise ValueError(f"its optimiser has taken {head.adam_steps} steps")
    wanted = {f"{moment}.{name}": weight.shape for name, weight in head.weights.items() for moment in MOMENTS}
    for name, tensor in head.moments.items():
        if wanted.get(name) != tensor.shape:
            raise ValueError(f"its optimiser's '{name}' fits none of its weights")


def _check_provenance(provenance: dict[str, Any]) -> None:
    """Raise `ValueError` unless the entries of a provenance have their types."""
    for name, kinds in PROVENANCE.items():
        entry = provenance.get(name)
        if entry is None:
            continue
        if not isinstance(entry, kinds) or isinstance(entry, bool):
            raise ValueError(f"'{name}' in its provenance is {str(entry)[:40]!r}")
        if isinstance(entry, int | float) and not 0 <= entry < math.inf:
            raise ValueError(f"'{name}' in its provenance is {entry}")
