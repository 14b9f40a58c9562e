"""The head file: everything a trained head is, in one `.safetensors` file that needs neither its data nor its config.

Every training of one head leaves one beside its checkpoints. A *prior* is a head file that a fit starts from; with
Adam's moments its optimiser can be carried on as well, with the latents of many heads it is a shape space.

Tensors carry IDR's own names below `sdf.` and `colour.` (`sdf.lin0.weight_g`), Adam's moments the same names below
`exp_avg.` and `exp_avg_sq.`. Frame, provenance and sizes are JSON in the file's metadata: nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField
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
_MODULE_NAMES = {
    "sdf_network.": "sdf.",
    "feature_network.": "features.",
    "colour_network.": "colour.",
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


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


def named_parameters(head_field: HeadField) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Parameters of the field's networks under the names they have in a head file."""
    for name, parameter in head_field.named_parameters():
        if name != PLACEMENT:
            yield to_file_name(name), parameter


def to_file_name(module_name: str) -> str:
    """`sdf_network.lin0.parametrizations.weight.original0` -> `sdf.lin0.weight_g`."""
    for ours, idr in _MODULE_NAMES.items():
        module_name = module_name.replace(ours, idr)
    return module_name


def weights_of_field(head_field: HeadField) -> dict[str, Tensor]:
    """Weights of both networks and the placement, detached, under their file names."""
    networks = {name: parameter.detach() for name, parameter in named_parameters(head_field)}
    return {PLACEMENT: head_field.placement.similarity.detach(), **networks}


def adam_moments(head_field: HeadField, adam: torch.optim.Optimizer) -> tuple[dict[str, Tensor], int]:
    """Adam's moments under their file names, and the number of steps behind them."""
    moments, steps = {}, 0
    for name, parameter in named_parameters(head_field):
        state = adam.state.get(parameter, {})
        moments.update({f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state})
        steps = int(state.get("step", steps))
    return moments, steps


def carry_optimizer(prior: Head, head_field: HeadField, adam: torch.optim.Optimizer) -> None:
    """Continue with the prior's Adam moments, as BaseH3D-Net's original did."""
    for name, parameter in named_parameters(head_field):
        state = {moment: prior.moments[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in MOMENTS}
        adam.state[parameter] = {"step": torch.tensor(float(prior.adam_steps)), **state}


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
