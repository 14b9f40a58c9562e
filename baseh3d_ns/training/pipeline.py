"""The pipeline that every nerfstudio tool builds of a run: bad input ends here with a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig

from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.errors import exit_on_input_error
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.rendering.denormals import flush_denormals
from baseh3d_ns.training.initial_view import InitialView
from baseh3d_ns.training.plateau import PlateauSchedule


@dataclass
class HeadPipelineConfig(VanillaPipelineConfig):
    """Photos of one head, and its model."""

    _target: type = field(default_factory=lambda: SdfPipeline)
    datamanager: HeadDataManagerConfig = field(default_factory=HeadDataManagerConfig)
    """Source of the rays."""
    model: IdrModelConfig = field(default_factory=IdrModelConfig)
    """The head."""


class SdfPipeline(VanillaPipeline):
    """nerfstudio's pipeline with the training's schedule, so that checkpoints keep it, and the viewer's first view."""

    def __init__(self, config: VanillaPipelineConfig, **kwargs) -> None:
        flush_denormals()
        with exit_on_input_error():
            super().__init__(config, **kwargs)
        self.schedule = PlateauSchedule()
        self.initial_view = InitialView(self.datamanager.train_dataset)
