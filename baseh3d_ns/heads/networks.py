"""A head's networks: their names and sizes in a head file, and the field that the weights fill."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baseh3d_ns.bounds import FEWEST_CELLS, MOST_CELLS
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.detail_grid import DetailGridConfig
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.heads.head_file import LATENT, MOMENTS, PLACEMENT, Head

SAME_FAMILY = "take a prior of the same method family (idr / baseh3d: 8 x 512, the -fast ones: 4 x 128)"
MOST_LEVELS = 16
"""Grids of a detail, at most."""
POINT_AND_NORMAL = 6
"""Inputs of the colour network beside the encoded viewing direction and the features."""
_MODULE_NAMES = {
    "sdf_network.": "sdf.",
    "feature_network.": "features.",
    "colour_network.": "colour.",
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


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
        if f"{MOMENTS[0]}.{name}" not in prior.moments:
            continue  # detail that the prior does not have
        state = {moment: prior.moments[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in MOMENTS}
        adam.state[parameter] = {"step": torch.tensor(float(prior.adam_steps)), **state}


def field_of_head(head: Head, source: Path) -> HeadField:
    """The head in networks of its own sizes.

    Raises:
        InputError: it does not hold a complete SDF and colour network.
    """
    latent = len(head.weights[LATENT]) if LATENT in head.weights else 0
    try:
        config = field_config(head.weights, latent)
        field: HeadField = config.setup()
    except (KeyError, RuntimeError) as error:  # torch's for layers of negative sizes
        have = summary(architecture(head.weights)) + (f" and a latent of {latent} numbers" if latent else "")
        raise InputError(f"{source} holds {have}, which are no networks of a head: {SAME_FAMILY}") from error
    load_weights(head, field, source)
    return field


def load_weights(head: Head, field: HeadField, source: Path) -> None:
    """Copy both networks and the placement into the field.

    Raises:
        InputError: the head's networks have other sizes than the field's.
    """
    check_same_networks(head, field, source)
    with torch.no_grad():
        for name, parameter in named_parameters(field):
            parameter.copy_(head.weights[name])
        field.placement.similarity.copy_(head.weights.get(PLACEMENT, torch.zeros(7)))


def check_same_networks(head: Head, field: HeadField, source: Path) -> None:
    """Raise `InputError` unless every tensor of the field is in the head with the same shape, and no other."""
    ours = {name: tuple(parameter.shape) for name, parameter in named_parameters(field)}
    theirs = {name: tuple(tensor.shape) for name, tensor in head.weights.items() if name != PLACEMENT}
    if ours == theirs:
        return
    here, there = architecture(dict(named_parameters(field))), architecture(head.weights)
    if here == there:
        odd = sorted(set(ours.items()) ^ set(theirs.items()))[0][0]
        raise InputError(f"{source} does not fit this method's networks at '{odd}': {SAME_FAMILY}")
    raise InputError(f"{source} holds {summary(there)}, this method has {summary(here)}: {SAME_FAMILY}")


def check_carries_on(prior: Head, config: HeadFieldConfig, source: Path) -> None:
    """Raise `InputError` unless the prior knows its optimiser's state, for those networks, and its epochs."""
    if config.sdf.latent:
        raise InputError("--carry-optimizer: a shape space keeps no optimiser to carry on with, leave it out")
    without_detail = replace(config, detail=DetailGridConfig(), colour_detail=DetailGridConfig())
    check_same_networks(prior, without_detail.setup(), source)
    names = {f"{moment}.{name}" for name in prior.weights if name != PLACEMENT for moment in MOMENTS}
    if set(prior.moments) != names or not prior.provenance.get("epochs"):
        raise InputError(
            f"{source} does not hold an optimiser state and its epochs: leave out --carry-optimizer, or pass a "
            "prior-*.safetensors trained here"
        )


def architecture(weights: dict[str, Any]) -> dict[str, int]:
    """Hidden layers, width, inputs and outputs of both networks, as `sdf_layers`, `colour_width` and so on."""
    found: dict[str, int] = {}
    for network in ("sdf", "colour"):
        layers = sorted(
            int(match.group(1)) for name in weights if (match := re.fullmatch(rf"{network}\.lin(\d+)\.weight_v", name))
        )
        if 0 not in layers:
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


def field_config(weights: dict[str, Any], latent: int) -> HeadFieldConfig:
    """Config of the field that the weights fill.

    Args:
        weights: by their file names.
        latent: numbers of the latent, 0 for none.

    Raises:
        KeyError: these are not shapes of the networks here.
    """
    shape = architecture(weights)
    colour_inputs = shape["colour_inputs"] - POINT_AND_NORMAL - (shape["sdf_outputs"] - 1)
    octaves, colour_octaves = ((n / 3 - 1) / 2 for n in (shape["sdf_inputs"] - latent, colour_inputs))
    if octaves % 1 or colour_octaves % 1 or min(octaves, colour_octaves) < 0:
        raise KeyError("inputs")
    rows = [len(weights[f"sdf.lin{index}.weight_v"]) for index in range(shape["sdf_layers"])]
    if not rows:
        raise KeyError("layers")
    # A skip to the last layer brings the latent in there, beside the layer's width.
    skips_to_last = rows[-1] + shape["sdf_inputs"] == shape["sdf_width"]
    width = shape["sdf_width"] - latent * skips_to_last
    # The layer before the skip gives fewer values, since the skip adds the encoded position.
    before_skip = [index for index, given in enumerate(rows) if given < width]
    separate = [name for name in weights if re.fullmatch(r"features\.lin\d+\.weight_v", name)]
    return HeadFieldConfig(
        sdf=SdfNetworkConfig(
            layers=shape["sdf_layers"],
            width=width,
            skip_layer=before_skip[0] + 1 if before_skip else 0,
            octaves=int(octaves),
            features=shape["sdf_outputs"] - 1,
            latent=latent,
        ),
        colour=ColourNetworkConfig(
            layers=shape["colour_layers"], width=shape["colour_width"], octaves=int(colour_octaves)
        ),
        feature_layers=max(0, len(separate) - 1),
        detail=_detail_config(weights, "detail"),
        colour_detail=_detail_config(weights, "colour_detail"),
    )


def _detail_config(weights: dict[str, Any], grid: str) -> DetailGridConfig:
    """Sizes of the detail grid of that name that the weights fill, if they do."""
    if f"{grid}.cells" not in weights:
        return DetailGridConfig()
    recorded, hidden = weights[f"{grid}.cells"], weights[f"{grid}.hidden.weight"]
    if recorded.ndim != 1 or not 0 < len(recorded) <= MOST_LEVELS or hidden.ndim != 2:
        raise KeyError(f"{grid}.cells")
    if not all(FEWEST_CELLS <= count <= MOST_CELLS and count % 1 == 0 for count in recorded.tolist()):
        raise KeyError(f"{grid}.cells")
    cells = tuple(map(int, recorded.tolist()))
    width, inputs = hidden.shape
    return DetailGridConfig(cells=cells, features=int(inputs) // len(cells), width=int(width))
