"""The head file: everything a trained head is, in one `.safetensors` file that needs neither its data nor its config.

Every training of one head leaves one beside its checkpoints. A *prior* is a head file that a fit starts from; with
Adam's moments its optimiser can be carried on as well, with the latents of many heads it is a shape space.

Tensors carry IDR's own names below `sdf.` and `colour.` (`sdf.lin0.weight_g`), Adam's moments the same names below
`exp_avg.` and `exp_avg_sq.`. Frame, provenance and sizes are JSON in the file's metadata: nothing is unpickled, and
what was read is checked before a network is filled with it, since anybody may have written the file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.files import whole_file
from baseh3d_ns.frames import SceneFrame

HEAD_FILE = "head.safetensors"
"""Name of a training's head file in its run folder."""
FORMAT = "baseh3d-head-2"
FORMATS = (FORMAT, "baseh3d-prior-1")
"""Formats that can be read; 1 was written by versions 0.1.x and knows no cameras and calls
features appearance."""
MOMENTS = ("exp_avg", "exp_avg_sq")
PLACEMENT = "placement.similarity"
"""Similarity from the unit frame to the networks' frame; absent in heads that were never placed."""
LATENT, LATENTS = "latent", "latents"
CENTRES, VIEWS = "cameras.centres", "views."
PROVENANCE: dict[str, tuple[type, ...]] = {
    "views": (list,),
    "epochs": (int, float),
    "steps": (int,),
    "planned_steps": (int,),
    "scene": (str,),
    "data": (str,),
    "method": (str,),
    "load_prior": (str,),
    "warnings": (list,),
    "colours_finished": (bool,),
}
"""Types of the entries of a provenance that something is made of; all may be absent or null."""
FARTHEST_MM = 1e7
"""Coordinates of a unit ball's centre, in millimetres: farther away, single precision has no millimetres."""
RADIUS_RANGE_MM = (1.0, 1e5)
"""Radii of a unit ball that a head may stand in, in millimetres."""


@dataclass(frozen=True)
class Head:
    """A trained head, or a prior, or a shape space."""

    weights: dict[str, Tensor]
    """Networks below `sdf.`, `colour.`, `features.`, by IDR's parameter names; perhaps `PLACEMENT` and `LATENT`."""
    provenance: dict[str, Any]
    """Method, scene, data folder, views, epochs, steps, seed, version, date; as far as known for other files."""
    frame: SceneFrame | None = None
    """Unit frame that the head lives in, in millimetres; unknown for an original IDR file."""
    camera_centres: Float[Tensor, "views 3"] | None = None
    """Centres of the training cameras in the unit frame; where surface colours are looked at from."""
    view_corrections: dict[str, Tensor] = field(default_factory=dict)
    """Parameters of `ViewCorrections` (pose, focal, colour) where views were refined; for projecting photos."""
    moments: dict[str, Tensor] = field(default_factory=dict)
    """Adam's running moments, below `exp_avg.` and `exp_avg_sq.`; empty when not kept."""
    adam_steps: int = 0
    """Optimiser steps behind the moments."""
    latents: Float[Tensor, "heads l"] | None = None
    """Latents of the heads that a shape space was learned from; `LATENT` among the weights is the mean head's."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Warnings that the training left, and one where the colours were not finished yet."""
        known = self.provenance
        warnings = tuple(str(warning) for warning in known.get("warnings") or ())
        if known.get("colours_finished") is not False:
            return warnings
        return (
            *warnings,
            f"Its colours are not finished, since this is the head after step {known.get('steps')} of "
            f"{known.get('planned_steps')}: go on with `ns-train {known.get('method')} --load-dir "
            "RUN/nerfstudio_models` and the other options of its run.",
        )


def save_head(path: Path, head: Head) -> None:
    """Write `head` to `path`; a half-written file never takes its place.

    Raises:
        InputError: the disk is full or not writable.
    """
    from safetensors.torch import save_file

    metadata = {
        "format": FORMAT,
        "frame": json.dumps(dataclasses.asdict(head.frame) if head.frame else None),
        "provenance": json.dumps(head.provenance),
        "adam_steps": str(head.adam_steps),
    }
    every = {**head.weights, **head.moments}
    every |= {VIEWS + name: tensor for name, tensor in head.view_corrections.items()}
    every |= {
        name: tensor for name, tensor in ((LATENTS, head.latents), (CENTRES, head.camera_centres)) if tensor is not None
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in every.items()}
    with whole_file(path) as unfinished:
        save_file(tensors, unfinished, metadata=metadata)


def read_head(path: Path, remedy: str) -> Head:
    """A head from its file.

    Args:
        path: a `.safetensors` file.
        remedy: what to do instead, at the end of every complaint.

    Raises:
        InputError: truncated, no head file, or without what a head file records.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except Exception as error:  # whatever the damaged bytes lead its reader to
        raise InputError(f"{path} is truncated or no safetensors file: copy it again, or {remedy}") from error
    if metadata.get("format") == FORMATS[1]:
        tensors = {name.replace("appearance.", "features.", 1): tensor for name, tensor in tensors.items()}
    if metadata.get("format") not in FORMATS:
        raise InputError(f"{path} is a safetensors file but not a head file ({FORMAT}): {remedy}")
    try:
        frame = json.loads(metadata["frame"])
        provenance = json.loads(metadata["provenance"])
        if not isinstance(provenance, dict):
            raise ValueError("its provenance is no table")
        # What was not known is not there.
        provenance = {name: value for name, value in provenance.items() if value is not None}
        views = [name for name in tensors if name.startswith(VIEWS)]
        return Head(
            latents=tensors.pop(LATENTS, None),
            camera_centres=tensors.pop(CENTRES, None),
            view_corrections={name[len(VIEWS) :]: tensors.pop(name) for name in views},
            moments={name: tensors.pop(name) for name in list(tensors) if name.startswith(MOMENTS)},
            weights=tensors,
            provenance=provenance,
            frame=None if frame is None else _frame(frame),
            adam_steps=int(metadata["adam_steps"]),
        )
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} lacks what a head file records ({error}): {remedy}") from error


def _frame(recorded: Any) -> SceneFrame:
    """The unit frame as it stands in a file's metadata."""
    x, y, z = map(float, recorded["centre_mm"])
    return SceneFrame(centre_mm=(x, y, z), radius_mm=float(recorded["radius_mm"]))


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
        if not isinstance(entry, kinds) or (isinstance(entry, bool) and bool not in kinds):
            raise ValueError(f"'{name}' in its provenance is {str(entry)[:40]!r}")
        if isinstance(entry, int | float) and not 0 <= entry < math.inf:
            raise ValueError(f"'{name}' in its provenance is {entry}")
