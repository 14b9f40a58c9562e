"""The pipeline that every nerfstudio tool builds of a run: bad input ends here with a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig

from baseh3d_ns.bounds import check_bounds
from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.quiet import quiet_libraries
from baseh3d_ns.rendering.denormals import flush_denormals
from baseh3d_ns.training.checkpoint import holds_start
from baseh3d_ns.training.initial_view import InitialView
from baseh3d_ns.training.schedule import Schedule
from baseh3d_ns.training.viewer_address import ViewerAddress


@dataclass
class HeadPipelineConfig(VanillaPipelineConfig):
    """Photos of one head, and its model."""

    _target: type = field(default_factory=lambda: SdfPipeline)
    datamanager: HeadDataManagerConfig = field(default_factory=HeadDataManagerConfig)
    """Source of the rays."""
    model: IdrModelConfig = field(default_factory=IdrModelConfig)
    """The head."""


class SdfPipeline(VanillaPipeline):
    """nerfstudio's pipeline with the training's schedule, so that checkpoints keep it, and the viewer's first view and
    address."""

    def __init__(self, config: VanillaPipelineConfig, **kwargs) -> None:
        flush_denormals()
        quiet_libraries()
        with exit_on_input_error():
            check_bounds(config)
            super().__init__(config, **kwargs)
        self.schedule = Schedule()
        self.initial_view = InitialView(self.datamanager.train_dataset)
        self.viewer_address = ViewerAddress()

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Take the state that a checkpoint keeps; one that is damaged, or of another model, ends with a sentence."""
        with exit_on_input_error():
            try:
                if holds_start(loaded_state):
                    self.model.keep_start()
                super().load_pipeline(loaded_state, step)
            except (ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
                said = str(error).strip().splitlines()[-1].strip()
                raise InputError(
                    f"the checkpoint after step {step} cannot be used, {said}: move it away, so that an earlier one of "
                    "that run is taken"
                ) from error
