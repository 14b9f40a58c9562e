"""From a prior's networks to those of a method: the same head, number for number, in other networks.

- A latent is a bias of the layers it enters (`SdfNetwork`): folded in, a shape space is IDR's own network.
- A narrower and shallower network is written into a wider and deeper one so that it computes the same (Chen et al.,
  "Net2Net", ICLR 2016): its units keep their places, its layers are followed by layers that hand values on, new units
  start random but unheard. x = softplus(x) - softplus(-x) hands on exactly; ReLU hands on what is not negative.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.fields.networks import SdfNetworkConfig, encoded_size
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import SAME_FAMILY, architecture, field_of_head, named_parameters, summary
from baseh3d_ns.heads.readers import MAKE_A_SPACE


def check_transfers(prior: Head, wanted: HeadFieldConfig, source: Path) -> None:
    """Raise `InputError` unless `transfer` can bring the prior into networks of the `wanted` sizes."""
    check_sizes(field_of_head(prior, source).config, wanted, str(source))


def check_sizes(have: HeadFieldConfig, wanted: HeadFieldConfig, source: str) -> None:
    """Raise `InputError` unless a prior with networks of the sizes that it has fits into those of the `wanted` ones.

    Args:
        source: name of the prior, for messages.
    """
    if wanted.sdf.latent and not have.sdf.latent:
        raise InputError(f"{source} is the prior of one head, h3dnet needs a shape space: {MAKE_A_SPACE}")
    if wanted.sdf.latent and have.sdf.latent > wanted.sdf.latent:
        raise InputError(
            f"{source} has latents of {have.sdf.latent} numbers, this method of {wanted.sdf.latent}: pass "
            f"--pipeline.model.sdf-field.sdf.latent {have.sdf.latent}, or a shape space of that size"
        )
    if have.feature_layers and have != replace(wanted, detail=have.detail, colour_detail=have.colour_detail):
        raise InputError(f"{source} was fitted by h3dnet: only h3dnet with networks of the same size goes on from it")
    if not _holds(wanted, have):
        there, here = (summary(architecture(dict(named_parameters(one.setup())))) for one in (have, wanted))
        raise InputError(f"{source} holds {there}, this method has {here}: {SAME_FAMILY}")


@torch.no_grad()
def transfer(start: HeadField, field: HeadField) -> str:
    """Make `field` the head of `start`, with its placement; return how, in a few words.

    A field with a feature network of its own takes the SDF alone, unless `start` has one, too.
    """
    field.placement.similarity.copy_(start.placement.similarity)
    if start.config == replace(field.config, detail=start.config.detail, colour_detail=start.config.colour_detail):
        # Detail that the prior does not have stays as it is, without effect; that of its colours is another person's.
        state = {name: tensor for name, tensor in start.state_dict().items() if "colour_detail" not in name}
        field.load_state_dict(state, strict=False)
        return "as it is"
    sdf = [(layer.weight.clone(), layer.bias.clone()) for layer in _layers(start.sdf_network)]
    how = []
    if start.detail is not None and field.detail is not None:
        field.detail.load_state_dict(start.detail.state_dict())
    if start.latent is not None and field.latent is None:
        _fold(sdf, start.latent, start.config)
        how.append("its latent folded in")
    elif start.latent is not None and field.latent is not None:
        field.latent.zero_()
        field.latent[: len(start.latent)] = start.latent
    _write_sdf(sdf, start.config.sdf, field)
    if field.feature_network is None:
        colour = [(layer.weight.clone(), layer.bias.clone()) for layer in _layers(start.colour_network)]
        _write_colour(colour, field)
    if start.config.sdf.width != field.config.sdf.width:
        how.append("written into larger networks")
    return ", ".join(how) or "its SDF alone"


Layers = list[tuple[Tensor, Tensor]]
"""Weight [out, in] and bias [out] of each layer."""


def _layers(network: nn.Module) -> list[nn.Linear]:
    return [getattr(network, f"lin{index}") for index in range(network.layers + 1)]  # type: ignore[operator]


def _fold(sdf: Layers, latent: Float[Tensor, " l"], config: HeadFieldConfig) -> None:
    """The latent's columns as a bias of their layers."""
    for index in {0, config.sdf.skip_layer}:
        weight, bias = sdf[index]
        scale = 1.0 if index == 0 else 0.5**0.5
        sdf[index] = (weight[:, : -len(latent)], bias + scale * weight[:, -len(latent) :] @ latent)


def _holds(wanted: HeadFieldConfig, have: HeadFieldConfig) -> bool:
    """Whether networks of the `wanted` sizes can compute what those of `have` do."""
    sdf, ours = have.sdf, wanted.sdf
    if sdf.octaves != ours.octaves or sdf.features > ours.features or bool(sdf.skip_layer) != bool(ours.skip_layer):
        return False
    if sdf.skip_layer > ours.skip_layer or sdf.layers - sdf.skip_layer > ours.layers - ours.skip_layer:
        return False
    same = (sdf.layers, sdf.width, sdf.skip_layer) == (ours.layers, ours.width, ours.skip_layer)
    if not same and 2 * sdf.width > ours.width - encoded_size(ours.octaves):
        return False
    colour, painted = have.colour, wanted.colour
    return wanted.feature_layers > 0 or (
        colour.octaves == painted.octaves and colour.layers <= painted.layers and colour.width <= painted.width
    )


def _write_sdf(sdf: Layers, have: SdfNetworkConfig, field: HeadField) -> None:
    big = _layers(field.sdf_network)
    skip, their_skip = field.config.sdf.skip_layer, have.skip_layer
    # Which of the layers stands where: those before the skip from the start, those from the skip on from the skip.
    place = {index: index for index in range(their_skip)}
    place |= {skip + index - their_skip: index for index in range(their_skip, have.layers)}
    place[len(big) - 1] = have.layers
    hidden = {skip: field.config.sdf.width - encoded_size(field.config.sdf.octaves)} if skip else {}
    _write(sdf, big, place, hidden, handed_on_in_pairs=True)


def _write_colour(colour: Layers, field: HeadField) -> None:
    big = _layers(field.colour_network)
    place = {index: index for index in range(len(colour) - 1)} | {len(big) - 1: len(colour) - 1}
    _write(colour, big, place, {}, handed_on_in_pairs=False)


def _write(
    small: Layers, big: list[nn.Linear], place: dict[int, int], hidden: dict[int, int], handed_on_in_pairs: bool
) -> None:
    """Make `big` compute what `small` does.

    Args:
        place: index in `big` -> index in `small`; layers of `big` that are not named hand values on.
        hidden: of a layer that also takes the network's input, how many of its columns are the layer before.
        handed_on_in_pairs: softplus between the layers, else ReLU.
    """
    read = small[0][0].new_zeros(0, 0)  # values of the layer before = read @ units of the big layer before
    for index, layer in enumerate(big):
        weight, bias = layer.weight.clone(), layer.bias.clone()
        units = hidden.get(index, 0 if index == 0 else weight.shape[1])
        read = read[:, :units]
        if index in place:
            theirs, their_bias = small[place[index]]
            columns = theirs[:, len(read) :]
            weight[: len(theirs)] = 0.0
            weight[: len(theirs), :units] = theirs[:, : len(read)] @ read
            weight[: len(theirs), units : units + columns.shape[1]] = columns
            bias[: len(theirs)] = their_bias
            read = torch.eye(len(theirs), len(weight)).to(weight)
        else:
            rows = torch.cat([read, -read]) if handed_on_in_pairs else read
            weight[: len(rows)] = 0.0
            weight[: len(rows), :units] = rows
            bias[: len(rows)] = 0.0
            count = len(read)
            read = torch.eye(count, len(weight)).to(weight)
            if handed_on_in_pairs:
                read[:, count : 2 * count] = -torch.eye(count).to(weight)
        layer.weight, layer.bias.data = weight, bias
