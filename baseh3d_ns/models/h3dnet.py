"""H3D-Net's few-shot fit: IDR's losses, a decoder with a latent as SDF, features from a network of their own.

Source: Ramon et al., ICCV 2021, section 3.2: stage 1 learns latent, features and colour with the decoder frozen, so
that the head stays in the shape space; stage 2 frees the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter

from baseh3d_ns.bounds import Fraction
from baseh3d_ns.errors import InputError
from baseh3d_ns.models.idr import IdrModel, IdrModelConfig


@dataclass
class H3dNetModelConfig(IdrModelConfig):
    """IDR with two stages."""

    _target: type = field(default_factory=lambda: H3dNetModel)
    decoder_frozen: Fraction = 0.05
    """Fraction of the training with the decoder frozen (stage 1); latent, features and colours learn throughout."""

    def check_networks(self) -> None:
        sizes = self.sdf_field.feature_layers, self.sdf_field.sdf.latent, self.sdf_field.sdf.features
        if not all(sizes):
            raise InputError(
                "h3dnet needs a latent and a network of features: --pipeline.model.sdf-field.feature-layers, "
                ".sdf.latent and .sdf.features must be at least 1"
            )

    def sdf_learns_from(self) -> float:
        return self.decoder_frozen


class H3dNetModel(IdrModel):
    """IDR whose `field.latent` says whose head it is, in two stages."""

    config: H3dNetModelConfig
    logged_stage: int = 0

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        groups = super().get_param_groups()
        assert self.field.feature_network is not None and self.field.latent is not None
        groups["fields"] += self.field.feature_network.parameters()
        return groups | {"latent": [self.field.latent]}

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        def log_stage(step: int) -> None:
            stage = self.stage()
            if stage != self.logged_stage:
                self.logged_stage = stage
                learns = "latent, features and colours learn" if stage == 1 else "the decoder learns as well"
                CONSOLE.log(f"H3D-Net stage {stage} from step {step}: {learns}.")

        callbacks = super().get_training_callbacks(training_callback_attributes)
        return [*callbacks, TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], log_stage)]

    def stage(self) -> int:
        """1 while the decoder is frozen, else 2."""
        return 1 if self.progress < self.config.sdf_learns_from() else 2

    def get_metrics_dict(self, outputs: dict[str, Any], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**super().get_metrics_dict(outputs, batch), "stage": torch.tensor(float(self.stage()))}
