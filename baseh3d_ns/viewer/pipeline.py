"""Pipeline of a head whose training or run somebody looks at: pictures and controls made for heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig

from baseh3d_ns.errors import exit_on_input_error
from baseh3d_ns.training.pipeline import HeadPipelineConfig, SdfPipeline


@dataclass
class ViewedPipelineConfig(HeadPipelineConfig):
    """Photos of one head, its model, and what the viewer shows of them."""

    _target: type = field(default_factory=lambda: ViewedPipeline)


class ViewedPipeline(SdfPipeline):
    """The pipeline of one head, with its inspection pictures and its panel in the viewer."""

    def __init__(self, config: VanillaPipelineConfig, **kwargs) -> None:
        # Here, since every ns-train imports this module.
        from baseh3d_ns.viewer.inspection import HeadInspection
        from baseh3d_ns.viewer.panel import HeadPanel
        from baseh3d_ns.viewer.scan import SceneScan

        super().__init__(config, **kwargs)
        manager: Any = self.datamanager
        data = Path(manager.config.data or manager.config.dataparser.data)
        with exit_on_input_error():
            scan = SceneScan.of(manager.train_dataset, data)
        self.inspection = HeadInspection(self.model, manager.train_dataset, scan)
        self.model.inspection = self.inspection
        self.panel = HeadPanel(self.model, self.inspection)
