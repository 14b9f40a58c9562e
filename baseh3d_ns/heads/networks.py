"""A head file's weights as a field whose networks have the sizes of the file, or those of a method."""

from __future__ import annotations

from pathlib import Path

import torch

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.heads.architecture import architecture, field_config, summary
from baseh3d_ns.heads.head_file import LATENT, PLACEMENT, Head, named_parameters

SAME_FAMILY = "take a prior of the same method family (idr / baseh3d: 8 x 512, the -fast ones: 4 x 128)"


def field_of_head(head: Head, source: Path) -> HeadField:
    """The head in networks of its own sizes.

    Raises:
        InputError: it does not hold a complete SDF and colour network.
    """
    latent = len(head.weights[LATENT]) if LATENT in head.weights else 0
    try:
        config = field_config(head.weights, latent)
    except KeyError as error:
        have = summary(architecture(head.weights))
        raise InputError(f"{source} holds {have}, which are no networks of a head: {SAME_FAMILY}") from error
    field: HeadField = config.setup()
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
    check_same_networks(prior, config.setup(), source)
    if not prior.moments or not prior.provenance.get("epochs"):
        raise InputError(
            f"{source} does not hold an optimiser state and its epochs: leave out --carry-optimizer, or pass a "
            "prior-*.safetensors trained here"
        )
