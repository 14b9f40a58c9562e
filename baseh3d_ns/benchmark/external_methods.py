"""Methods of nerfstudio and other plugins as rows: those with an SDF can be meshed and scored here."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.rendering.chunks import Sdf
from baseh3d_ns.training.head_trainer import HeadTrainerConfig


class Skipped(Exception):
    """Raised for a cell that this machine cannot run; the message is the reason."""


def is_external(config: Any) -> bool:
    """Whether a method's config is not one of this plugin's for one head."""
    return not isinstance(config, HeadTrainerConfig)


def check_runs_here(config: Any) -> None:
    """Raise `Skipped` with the reason when such a method cannot be trained or meshed on this machine."""
    from nerfstudio.fields.sdf_field import SDFFieldConfig

    name, field = config.method_name, getattr(config.pipeline.model, "sdf_field", None)
    if field is None:
        raise Skipped(f"{name} has no SDF that could be meshed")
    if isinstance(field, SDFFieldConfig):
        # nerfstudio 1.1.5 builds a tcnn.Encoding in every SDFField, also in one that does not use it.
        if importlib.util.find_spec("tinycudann") is None:
            raise Skipped(f"{name} needs tiny-cuda-nn, which is not installed")
        if not torch.cuda.is_available():
            raise Skipped(f"{name} needs a GPU for tiny-cuda-nn")


def sdf_of_external(trainer: Any) -> Sdf:
    """The SDF of a trained model in the unit frame, by the contract of nerfstudio's own exporter."""
    trainer.pipeline.eval()
    field = trainer.pipeline.model.field

    def sdf(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        return field.forward_geonetwork(points)[:, 0]

    return sdf
