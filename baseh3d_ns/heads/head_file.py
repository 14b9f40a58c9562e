"""A head prior: the weights of both networks, their frame and where they come from, in one `.safetensors` file.

Nothing else reads or writes priors. Tensors carry IDR's own names below `sdf.` and `colour.` (`sdf.lin0.weight_g`);
Adam's moments, when kept, the same names below `exp_avg.` and `exp_avg_sq.`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.frames import SceneFrame

FORMAT = "baseh3d-prior-1"
MOMENTS = ("exp_avg", "exp_avg_sq")
PLACEMENT = "placement.similarity"
"""Of a prior that was itself fitted from another: where its networks lie in its own unit frame. Others have none."""
LATENT, LATENTS = "latent", "latents"
_MODULE_NAMES = {
    "sdf_network.": "sdf.",
    "feature_network.": "appearance.",
    "colour_network.": "colour.",
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


@dataclass(frozen=True)
class HeadPrior:
    """Where a fit starts."""

    weights: dict[str, Tensor]
    """Both networks, below `sdf.` and `colour.`, by IDR's parameter names, and perhaps `PLACEMENT`."""
    provenance: dict[str, Any]
    """Scene, views, epochs, steps, seed, version, date; what is known for files of other origin."""
    frame: SceneFrame | None = None
    """The unit frame the weights live in; unknown for an original IDR file."""
    moments: dict[str, Tensor] = field(default_factory=dict)
    """Adam's running moments, below `exp_avg.` and `exp_avg_sq.`; empty when not kept."""
    adam_steps: int = 0
    """Optimiser steps behind the moments."""
    latents: Tensor | None = None
    """[heads, latent] of a shape space: those of the heads it was learned from; `latent` among the weights is the mean
    head's."""


def prior_names(head_field: HeadField) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters of the field's networks under the names they have in a prior."""
    for name, parameter in head_field.named_parameters():
        if name != PLACEMENT:
            yield to_prior_name(name), parameter


def to_prior_name(module_name: str) -> str:
    """`sdf_network.lin0.parametrizations.weight.original0` -> `sdf.lin0.weight_g`."""
    for ours, idr in _MODULE_NAMES.items():
        module_name = module_name.replace(ours, idr)
    return module_name


def save_prior(path: Path, prior: HeadPrior) -> None:
    """Write `prior` to `path`; a half-written file never takes its place."""
    from safetensors.torch import save_file

    metadata = {
        "format": FORMAT,
        "architecture": json.dumps(architecture(prior.weights)),
        "frame": json.dumps(dataclasses.asdict(prior.frame) if prior.frame else None),
        "provenance": json.dumps(prior.provenance),
        "adam_steps": str(prior.adam_steps),
    }
    latents = {} if prior.latents is None else {LATENTS: prior.latents}
    every = {**prior.weights, **prior.moments, **latents}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in every.items()}
    unfinished = path.with_name(f".{path.name}.tmp")
    save_file(tensors, unfinished, metadata=metadata)
    os.replace(unfinished, path)


def prior_of_field(
    head_field: HeadField, frame: SceneFrame, provenance: dict[str, Any], adam: torch.optim.Optimizer
) -> HeadPrior:
    """The prior a training has reached, with the moments of its optimiser."""
    weights, moments, steps = {PLACEMENT: head_field.placement.similarity.detach()}, {}, 0
    for name, parameter in prior_names(head_field):
        weights[name] = parameter.detach()
        state = adam.state.get(parameter, {})
        moments.update({f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state})
        steps = int(state.get("step", steps))
    return HeadPrior(weights=weights, provenance=provenance, frame=frame, moments=moments, adam_steps=steps)


def apply_prior(prior: HeadPrior, head_field: HeadField, source: Path) -> list[str]:
    """Load both networks from the prior and return the names of the tensors used.

    Raises:
        InputError: the prior's architecture is not the field's.
    """
    check_prior_fits(prior, head_field, source)
    with torch.no_grad():
        for name, parameter in prior_names(head_field):
            parameter.copy_(prior.weights[name])
        head_field.placement.similarity.copy_(prior.weights.get(PLACEMENT, torch.zeros(7)))
    return sorted(prior.weights)


def check_prior_fits(prior: HeadPrior, head_field: HeadField, source: Path) -> None:
    """Raise `InputError` unless every tensor of the field is in the prior with the same shape, and no other."""
    ours = {name: tuple(parameter.shape) for name, parameter in prior_names(head_field)}
    theirs = {name: tuple(tensor.shape) for name, tensor in prior.weights.items() if name != PLACEMENT}
    if ours == theirs:
        return
    here = architecture({name: parameter for name, parameter in prior_names(head_field)})
    there = architecture(prior.weights)
    remedy = "take a prior of the same method family (idr / baseh3d: 8 x 512, the -fast ones: 4 x 128)"
    if here == there:
        odd = sorted(set(ours.items()) ^ set(theirs.items()))[0][0]
        raise InputError(f"{source} does not fit this method's networks at '{odd}': {remedy}")
    raise InputError(f"{source} holds {summary(there)}, this method has {summary(here)}: {remedy}")


def check_carries_on(prior: HeadPrior, field_config: HeadFieldConfig, source: Path) -> None:
    """Raise `InputError` unless the prior knows its optimiser's state, for those networks, and its epochs."""
    if field_config.sdf.latent:
        raise InputError("--carry-optimizer: a shape space keeps no optimiser to carry on with, leave it out")
    check_prior_fits(prior, field_config.setup(), source)
    if not prior.moments or not prior.provenance.get("epochs"):
        raise InputError(
            f"{source} does not hold an optimiser state and its epochs: leave out --carry-optimizer, or pass a "
            "prior-*.safetensors trained here"
        )


def carry_optimizer(prior: HeadPrior, head_field: HeadField, adam: torch.optim.Optimizer) -> None:
    """Continue with the prior's Adam moments, as BaseH3D-Net's original did."""
    for name, parameter in prior_names(head_field):
        state = {moment: prior.moments[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in MOMENTS}
        adam.state[parameter] = {"step": torch.tensor(float(prior.adam_steps)), **state}


def architecture(weights: dict[str, Any]) -> dict[str, int]:
    """What the shapes of the weights say: hidden layers and widths, encoded inputs, features."""
    found: dict[str, int] = {}
    for network in ("sdf", "colour"):
        layers = sorted(
            int(match.group(1)) for name in weights if (match := re.fullmatch(rf"{network}\.lin(\d+)\.weight_v", name))
        )
        if not layers:
            continue
        first, last = weights[f"{network}.lin0.weight_v"].shape, weights[f"{network}.lin{layers[-1]}.weight_v"].shape
        found |= {f"{network}_layers": len(layers) - 1, f"{network}_width": int(last[1])}
        found |= {f"{network}_inputs": int(first[1]), f"{network}_outputs": int(last[0])}
    return found


def summary(shape: dict[str, int]) -> str:
    """`an SDF of 8 x 512 with 256 features and a colour network of 4 x 512`."""
    if not {"sdf_layers", "colour_layers"} <= shape.keys():
        return "no complete pair of networks"
    return (
        f"an SDF of {shape['sdf_layers']} x {shape['sdf_width']} with {shape['sdf_outputs'] - 1} features "
        f"and a colour network of {shape['colour_layers']} x {shape['colour_width']}"
    )
