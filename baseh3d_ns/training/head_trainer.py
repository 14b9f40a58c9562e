"""Training of one head: steps counted in epochs, and a head file beside the checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns import __version__
from baseh3d_ns.bounds import Count
from baseh3d_ns.data.datamanager import HeadDataManager
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.data.views import FEWEST_PX
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.detail_grid import cells_to_see
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.heads.head_file import HEAD_FILE, Head, save_head
from baseh3d_ns.heads.networks import weights_of_field
from baseh3d_ns.models.sdf_model import SdfModel
from baseh3d_ns.training.agreement import agreement
from baseh3d_ns.training.closing_words import closing_lines, ended_by
from baseh3d_ns.training.pipeline import HeadPipelineConfig
from baseh3d_ns.training.trainer import SdfTrainer, SdfTrainerConfig


@dataclass
class HeadTrainerConfig(SdfTrainerConfig):
    """Training of one head."""

    _target: type = field(default_factory=lambda: HeadTrainer)
    pipeline: HeadPipelineConfig = field(default_factory=HeadPipelineConfig)
    """Data and model."""
    epochs: Count = 2000
    """Length of the training: an epoch is one batch of rays for every training view (--max-num-iterations caps it)."""

    def sdf_learns_from(self) -> float:
        return self.pipeline.model.sdf_learns_from()

    def check(self) -> None:
        super().check()
        if self.machine.num_devices * self.machine.num_machines > 1:
            raise InputError("one device holds all rays of a head: leave --machine.num-devices at 1")
        self.pipeline.model.check()
        networks = self.pipeline.model.sdf_field
        if (networks.detail.cells or networks.colour_detail.cells) and "detail" not in self.optimizers:
            raise InputError(
                f"--pipeline.model.sdf-field.detail, .colour-detail: {self.method_name} has no prior, leave them out"
            )
        splits = self.splits()
        check_sizes(splits[0], self.pipeline.datamanager.camera_res_scale_factor)
        for picture in dict.fromkeys(picture for split in splits for picture in split.metadata["pictures"]):
            picture.read()  # Eval photos are only opened in the middle of the training.
        self.check_resumed()

    def untrained_model(self) -> SdfModel:
        split, _ = self.splits()
        views, metadata = len(split.image_filenames), split.metadata
        model = replace(self.pipeline.model, sdf_field=self.networks())
        return model.setup(scene_box=split.scene_box, num_train_data=views, metadata=metadata)

    def networks(self) -> HeadFieldConfig:
        """Networks of the model, without the levels of detail that no photo can show."""
        networks = self.pipeline.model.sdf_field
        views, _ = self.splits()
        pixel = pixel_at_head(views.cameras) / self.pipeline.datamanager.camera_res_scale_factor
        # Colours between the cells' corners are blurred, so a pattern of one pixel takes cells of half of it.
        detail, colour_detail = (
            replace(grid, cells=cells_to_see(grid.cells, finest))
            for grid, finest in ((networks.detail, pixel), (networks.colour_detail, 0.5 * pixel))
        )
        return replace(networks, detail=detail, colour_detail=colour_detail)

    def resolve(self) -> None:
        super().resolve()
        manager = self.pipeline.datamanager
        manager.data = manager.dataparser.data = Path(manager.data or manager.dataparser.data).resolve()
        self.pipeline.model.sdf_field = self.networks()
        views, _ = self.splits()
        self.max_num_iterations = min(self.max_num_iterations, self.epochs * len(views.image_filenames))

    def splits(self) -> tuple[DataparserOutputs, DataparserOutputs]:
        """Photos and cameras of the training and the eval views.

        Raises:
            InputError: the data cannot be used.
        """
        manager = self.pipeline.datamanager
        parser = manager.dataparser
        if manager.data is not None:
            parser = replace(parser, data=Path(manager.data))
        scene = parser.setup()
        return scene.get_dataparser_outputs("train"), scene.get_dataparser_outputs("val")


def pixel_at_head(cameras: Cameras) -> float:
    """Width of a pixel at the middle of the unit ball, in units of the ball; the median over the views."""
    return float((cameras.camera_to_worlds[:, :, 3].norm(dim=-1) / cameras.fx[:, 0]).median())


def check_sizes(split: DataparserOutputs, scale: float) -> None:
    """Raise `InputError` when photos would be trained on with hardly a pixel.

    Args:
        scale: factor on their sizes, besides what the dataparser does.
    """
    width, height = (round(scale * int(size.min())) for size in (split.cameras.width, split.cameras.height))
    if min(width, height) < FEWEST_PX:
        raise InputError(
            f"photos of {width} x {height} pixels show no head: keep at least {FEWEST_PX} (--downscale of h3ds-data, "
            "--longest-side-px of head-data, --pipeline.datamanager.camera-res-scale-factor)"
        )


class HeadTrainer(SdfTrainer):
    """A training of one head."""

    config: HeadTrainerConfig

    def __init__(self, config: HeadTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        super().__init__(config, local_rank, world_size)
        self.begun_s = time.monotonic()

    def setup(self, test_mode="val") -> None:
        super().setup(test_mode)
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._say_what_came_of_it))

    def _say_what_came_of_it(self, step: int) -> None:
        done = self.steps_done
        ended = ended_by(done, self.total_steps, self.how_to_go_on())
        fits = agreement(self.pipeline.model, self.dataset)
        seconds = time.monotonic() - self.begun_s
        notes = [f"note     {doubt}" for doubt in self.head(done - 1).doubts]
        CONSOLE.print(*closing_lines(self.base_dir, seconds, done, ended, fits), *notes, sep="\n", soft_wrap=True)

    @property
    def dataset(self) -> HeadDataset:
        """The training views."""
        dataset = self.pipeline.datamanager.train_dataset
        assert isinstance(dataset, HeadDataset)
        return dataset

    @property
    def ray_pool(self) -> RayPool:
        """Rays of the training views."""
        manager = self.pipeline.datamanager
        assert isinstance(manager, HeadDataManager)
        return manager.ray_pool

    def head(self, step: int) -> Head:
        """The head as it is after `step`."""
        model, metadata = self.pipeline.model, self.dataset.metadata
        views = {} if model.views is None else dict(model.views.named_parameters())
        return Head(
            weights=weights_of_field(model.field),
            provenance=self.provenance(step),
            frame=metadata["frame"],
            camera_centres=model.camera_centres,
            view_corrections={name: parameter.detach() for name, parameter in views.items()},
        )

    def provenance(self, step: int) -> dict[str, Any]:
        """Method, data, length and seed of this training, for the head file."""
        config, metadata = self.config, self.dataset.metadata
        return {
            **metadata["provenance"],
            "scene": metadata["scene_id"],
            "data": str(config.pipeline.datamanager.data),
            "views": metadata["view_indices"],
            "epochs": self.epochs_after(step),
            "steps": step + 1,
            "planned_steps": config.max_num_iterations,
            "seed": config.machine.seed,
            "method": config.method_name,
            "trained_on": config.machine.device_type,
            "version": __version__,
            "date": datetime.now().isoformat(timespec="seconds"),
        }

    def epochs_after(self, step: int) -> int:
        """Epochs after `step`; one that was begun counts, so that a capped training has some."""
        return -(-(step + 1) // len(self.dataset))

    def save_checkpoint(self, step: int) -> None:
        """Write the head file, then the checkpoint: a kill between the two leaves a training that can be gone on with,
        not one that has reached its last step without its head."""
        save_head(self.base_dir / HEAD_FILE, self.head(min(step, self.total_steps - 1)))
        super().save_checkpoint(step)
