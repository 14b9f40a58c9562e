"""Training of a shape space: many heads, steps instead of epochs, a prior at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns import __version__
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.heads.head_file import LATENT, HeadPrior, prior_names, save_prior
from baseh3d_ns.heads.latent_pca import mean_latent
from baseh3d_ns.heads.readers import read_checkpoint
from baseh3d_ns.shape_space.datamanager import SurfaceDataManagerConfig
from baseh3d_ns.shape_space.model import ShapeSpaceModelConfig
from baseh3d_ns.shape_space.sources import Source
from baseh3d_ns.training.initial_view import FirstLook
from baseh3d_ns.training.trainer import CarefulTrainerConfig, HeadTrainer


@dataclass
class ShapePipelineConfig(VanillaPipelineConfig):
    """Points on many heads, and the auto-decoder."""

    _target: type = field(default_factory=lambda: ShapePipeline)
    datamanager: SurfaceDataManagerConfig = field(default_factory=SurfaceDataManagerConfig)
    """Where heads come from."""
    model: ShapeSpaceModelConfig = field(default_factory=ShapeSpaceModelConfig)
    """The shape space."""


class ShapePipeline(VanillaPipeline):
    """nerfstudio's pipeline: bad input ends here with a sentence."""

    def __init__(self, config: ShapePipelineConfig, **kwargs) -> None:
        with exit_on_input_error():
            super().__init__(config, **kwargs)
        self.first_look = FirstLook(self.datamanager.train_dataset)


@dataclass
class ShapeTrainerConfig(CarefulTrainerConfig):
    """Training of a shape space; writes it as a prior at its end."""

    pipeline: ShapePipelineConfig = field(default_factory=ShapePipelineConfig)
    """Data and model."""

    def check_data(self) -> None:
        manager = self.pipeline.datamanager
        if self.data is not None:
            manager.data = self.data
        if manager.data is not None:
            manager.data = manager.data.resolve()
        latent, shared = self.pipeline.model.sdf_field.sdf.latent, self.pipeline.model.symmetric_latents
        if latent < 1:
            raise InputError("a shape space needs latents: --pipeline.model.sdf-field.sdf.latent must be at least 1")
        if self.pipeline.model.sdf_field.feature_layers:
            raise InputError("a shape space has no feature network: leave --...sdf-field.feature-layers at 0")
        if not 0 <= shared <= latent:
            raise InputError(f"--pipeline.model.symmetric-latents must lie between 0 and the latent's {latent} numbers")
        manager.cache_dir = (manager.cache_dir or Path.home() / ".cache" / "baseh3d_ns").resolve()
        source = Source.of(manager)
        heads = len(source.names)
        if self.machine.num_devices > 1 and manager.data is None:
            source.load(heads)  # made once, before there are several processes
        checkpoint = self.resume_from()
        codes = read_checkpoint(checkpoint)["pipeline"].get("_model.codes") if checkpoint else None
        if codes is not None and codes.shape != (heads, latent):
            raise InputError(
                f"{checkpoint} has learned {codes.shape[0]} heads with latents of {codes.shape[1]} numbers, here are "
                f"{heads} with {latent}: go on with the same heads, or start afresh without --load-dir"
            )

    def snapshot(self, trainer: HeadTrainer, step: int) -> None:
        if step + 1 != trainer.total_steps or not comms.is_main_process():
            return
        path = trainer.base_dir / f"prior-{step + 1:06d}.safetensors"
        manager, model = self.pipeline.datamanager, trainer.pipeline.model
        provenance: dict[str, Any] = {
            "data": str(manager.data) if manager.data else _synthetic(manager.synthetic_seed),
            "heads": len(model.codes),
            "mirrored": f"latents keep the sign of their first {model.config.symmetric_latents} numbers",
            "steps": step + 1,
            "heads_per_step": manager.heads_per_step,
            "points_per_head": manager.points_per_head,
            "seed": self.machine.seed,
            "method": self.method_name,
            "version": __version__,
            "date": datetime.now().isoformat(timespec="seconds"),
        }
        weights = {name: parameter.detach() for name, parameter in prior_names(model.field)}
        # Whatever the viewer's sliders show.
        weights[LATENT] = mean_latent(model.codes, model.config.symmetric_latents)
        save_prior(path, HeadPrior(weights, provenance, HEAD_FRAME, latents=model.codes.detach()))
        CONSOLE.log(f"Wrote the shape space of {len(model.codes)} heads after {step + 1} steps: {path}")


def _synthetic(seed: int) -> str:
    # The body model is needed by whoever has just learned from it, and by no other start of `ns-train`.
    from baseh3d_ns.synthetic.head_samples import VERSION

    return f"anny-{VERSION}, seed {seed}"
