"""Training of a shape space: many heads, steps instead of epochs, a prior at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns import __version__
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import cache_folder
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.heads.head_file import LATENT, PLACEMENT, Head, save_head
from baseh3d_ns.heads.latent_pca import mean_latent
from baseh3d_ns.heads.networks import weights_of_field
from baseh3d_ns.models.sdf_model import SdfModel
from baseh3d_ns.shape_space.datamanager import CACHE, SurfaceDataManagerConfig, ViewerDataset
from baseh3d_ns.shape_space.model import ShapeSpaceModelConfig
from baseh3d_ns.training.checkpoint import open_checkpoint
from baseh3d_ns.training.pipeline import SdfPipeline
from baseh3d_ns.training.trainer import SdfTrainer, SdfTrainerConfig


@dataclass
class ShapePipelineConfig(VanillaPipelineConfig):
    """Points on many heads, and the auto-decoder."""

    _target: type = field(default_factory=lambda: SdfPipeline)
    datamanager: SurfaceDataManagerConfig = field(default_factory=SurfaceDataManagerConfig)
    """Source of the heads."""
    model: ShapeSpaceModelConfig = field(default_factory=ShapeSpaceModelConfig)
    """The shape space."""


@dataclass
class ShapeTrainerConfig(SdfTrainerConfig):
    """Training of a shape space; writes it as a prior at its end."""

    _target: type = field(default_factory=lambda: ShapeTrainer)
    pipeline: ShapePipelineConfig = field(default_factory=ShapePipelineConfig)
    """Data and model."""

    def check(self) -> None:
        super().check()
        self.pipeline.model.check()
        latent, symmetric = self.pipeline.model.sdf_field.sdf.latent, self.pipeline.model.symmetric_latents
        if latent < 1:
            raise InputError("a shape space needs latents: --pipeline.model.sdf-field.sdf.latent must be at least 1")
        if self.pipeline.model.sdf_field.feature_layers:
            raise InputError("a shape space has no feature network: leave --...sdf-field.feature-layers at 0")
        networks = self.pipeline.model.sdf_field
        if networks.detail.cells or networks.colour_detail.cells:
            raise InputError("a shape space has no detail: leave --...sdf-field.detail and colour-detail out")
        if not 0 <= symmetric <= latent:
            raise InputError(f"--pipeline.model.symmetric-latents must lie between 0 and the latent's {latent} numbers")
        source = self.pipeline.datamanager.source(self.data)
        source.check()
        heads = len(source.names)
        checkpoint = self.resume_from()
        latents = open_checkpoint(checkpoint)["pipeline"].get("_model.latents") if checkpoint else None
        if isinstance(latents, Tensor) and latents.ndim == 2 and latents.shape != (heads, latent):
            raise InputError(
                f"{checkpoint} has learned {latents.shape[0]} heads with latents of {latents.shape[1]} numbers, here "
                f"are {heads} with {latent}: go on with the same heads, or start afresh without --load-dir"
            )
        self.check_resumed()

    def untrained_model(self) -> SdfModel:
        names = self.pipeline.datamanager.source(self.data).names
        dataset, heads = ViewerDataset([], names), len(names)
        return self.pipeline.model.setup(scene_box=dataset.scene_box, num_train_data=heads, metadata=dataset.metadata)

    def resolve(self) -> None:
        super().resolve()
        manager = self.pipeline.datamanager
        data = self.data or manager.data
        manager.data = data.resolve() if data else None
        manager.cache_dir = (manager.cache_dir or cache_folder(CACHE, self.output_dir / "cache")).resolve()

    def save_config(self) -> None:
        super().save_config()
        if self.machine.num_devices > 1 and self.pipeline.datamanager.data is None:
            with exit_on_input_error():  # made once, before there are several processes
                source = self.pipeline.datamanager.source(None)
                source.load(len(source.names))


class ShapeTrainer(SdfTrainer):
    """A training of a shape space."""

    config: ShapeTrainerConfig

    def after_step(self, step: int) -> None:
        """Write the shape space after the last step."""
        if step + 1 < self.total_steps or not comms.is_main_process():
            return
        path = self.base_dir / f"prior-{step + 1:06d}.safetensors"
        save_head(path, self.shape_space(step))
        CONSOLE.log(f"Wrote the shape space of {len(self.pipeline.model.latents)} heads after {step + 1} steps: {path}")

    def shape_space(self, step: int) -> Head:
        """The shape space as it is after `step`: decoder, latents of all heads, and the mean head's."""
        manager, model = self.config.pipeline.datamanager, self.pipeline.model
        symmetric = model.config.symmetric_latents
        provenance: dict[str, Any] = {
            "data": self.pipeline.datamanager.source_text,
            "heads": len(model.latents),
            "mirrored": f"latents keep the sign of their first {symmetric} numbers",
            "steps": step + 1,
            "heads_per_step": manager.heads_per_step,
            "points_per_head": manager.points_per_head,
            "seed": self.config.machine.seed,
            "method": self.config.method_name,
            "version": __version__,
            "date": datetime.now().isoformat(timespec="seconds"),
        }
        weights = weights_of_field(model.field)
        del weights[PLACEMENT]  # a shape space lies in its own frame
        # Whatever the viewer's sliders show.
        weights[LATENT] = mean_latent(model.latents, symmetric)
        return Head(weights, provenance, HEAD_FRAME, latents=model.latents.detach())
