"""nerfstudio's Trainer with epochs as IDR counts them, a prior as start, and checkpoints that survive a kill."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns import __version__
from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.priors.head_prior import (
    apply_prior,
    architecture,
    carry_optimizer,
    check_prior_fits,
    prior_of_field,
    save_prior,
    summary,
)
from baseh3d_ns.priors.sources import MAKE_ONE, find_prior_file, load_prior, read_checkpoint


@dataclass
class HeadPipelineConfig(VanillaPipelineConfig):
    """The pipeline every nerfstudio tool builds: bad input ends here with a sentence."""

    _target: type = field(default_factory=lambda: HeadPipeline)
    datamanager: HeadDataManagerConfig = field(default_factory=HeadDataManagerConfig)
    """Where rays come from."""
    model: IdrModelConfig = field(default_factory=IdrModelConfig)
    """The head."""


class HeadPipeline(VanillaPipeline):
    """nerfstudio's pipeline; `ns-eval`, `ns-viewer`, `ns-render` and `ns-export` come in through here."""

    def __init__(self, config: HeadPipelineConfig, **kwargs) -> None:
        with exit_on_input_error():
            super().__init__(config, **kwargs)


@dataclass
class HeadTrainerConfig(TrainerConfig):
    """Training of one head."""

    _target: type = field(default_factory=lambda: HeadTrainer)
    pipeline: HeadPipelineConfig = field(default_factory=HeadPipelineConfig)
    """Data and model."""
    epochs: int = 2000
    """Length of the training: an epoch is one batch of rays for every training view (--max-num-iterations caps it)."""
    lr_halvings: tuple[float, ...] = (0.5, 0.75)
    """Fractions of the training at which the learning rate is halved."""

    def save_config(self) -> None:
        """Check everything the user gave before a single file is written, then fix the number of steps."""
        with exit_on_input_error():
            if self.machine.num_devices * self.machine.num_machines > 1:
                raise InputError("one device holds all rays of a head: leave --machine.num-devices at 1")
            if self.epochs < 1 or self.max_num_iterations < 1:
                raise InputError("--epochs and --max-num-iterations must be at least 1")
            parser = self.pipeline.datamanager.dataparser
            if self.pipeline.datamanager.data is not None:
                parser.data = Path(self.pipeline.datamanager.data)
            views = len(parser.setup().get_dataparser_outputs("train").image_filenames)
            self.max_num_iterations = min(self.max_num_iterations, self.epochs * views)
            self.check_start()
            self._check_output_folder()
        super().save_config()

    def check_start(self) -> None:
        """Raise `InputError` when what the training starts from cannot be used."""
        folder = self.load_dir
        if folder is not None and not list(Path(folder).glob("step-*.ckpt")):
            raise InputError(f"{folder} holds no step-*.ckpt to resume from: pass a run's nerfstudio_models folder")

    def prepare(self, trainer: HeadTrainer) -> None:
        """Called at step 0 of a fresh training, once networks and optimiser are there."""

    def snapshot(self, trainer: HeadTrainer, step: int) -> None:
        """Called after every step, and with the last step again at the end."""

    def _check_output_folder(self) -> None:
        folder = self.get_base_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --output-dir") from error


@dataclass
class PriorTrainerConfig(HeadTrainerConfig):
    """Pre-training on one well-captured subject; writes priors on its way."""

    epochs: int = 500
    """Length of the training: in an epoch every training view gives one batch of rays."""
    snapshot_epochs: tuple[int, ...] = (500, 1000, 2000)
    """Epochs after which a prior is written, besides the one at the end."""

    def snapshot(self, trainer: HeadTrainer, step: int) -> None:
        dataset = trainer.dataset
        views = len(dataset)
        last = step + 1 == self.max_num_iterations
        epochs, rest = divmod(step + 1, views)
        if not last and (rest or epochs not in self.snapshot_epochs):
            return
        path = trainer.base_dir / f"prior-{epochs:06d}.safetensors"
        metadata = dataset.metadata
        provenance = {
            "scene": metadata["scene_id"],
            "data": str(self.pipeline.datamanager.data),
            "views": metadata["view_indices"],
            "epochs": epochs,
            "steps": step + 1,
            "seed": self.machine.seed,
            "method": self.method_name,
            "version": __version__,
            "date": datetime.now().isoformat(timespec="seconds"),
        }
        model = trainer.pipeline.model
        save_prior(
            path, prior_of_field(model.field, metadata["frame"], provenance, trainer.optimizers.optimizers["fields"])
        )
        CONSOLE.log(f"Wrote the prior after {epochs} epochs: {path}")


@dataclass
class FewShotTrainerConfig(HeadTrainerConfig):
    """Fit of a new head that starts from a prior."""

    load_prior: Path | None = None
    """Where to start: a prior .safetensors, a run folder, its config.yml, a .ckpt, or an original IDR .pth."""
    carry_optimizer: bool = False
    """Also continue with the prior's optimiser and schedule, as BaseH3D-Net's original did."""

    def check_start(self) -> None:
        super().check_start()
        if self.load_dir is not None or self.load_checkpoint is not None:
            return
        if self.load_prior is None:
            raise InputError(f"{self.method_name} starts from a prior: pass --load-prior FILE; {MAKE_ONE}")
        prior = load_prior(self.load_prior)
        check_prior_fits(prior, self.pipeline.model.sdf_field.setup(), self.load_prior)

    def prepare(self, trainer: HeadTrainer) -> None:
        assert self.load_prior is not None
        source = find_prior_file(self.load_prior)
        prior = load_prior(source)
        model = trainer.pipeline.model
        used = apply_prior(prior, model.field, source)
        shape = summary(architecture(prior.weights))
        CONSOLE.log(f"Start from {source}: all {len(used)} tensors, {used[0]} to {used[-1]} ({shape})")
        if self.carry_optimizer:
            carry_optimizer(prior, model.field, trainer.optimizers.optimizers["fields"], source)
            model.start_progress.fill_(float(prior.provenance.get("epochs") or 0) / self.epochs)
            CONSOLE.log(f"Carry on with its optimiser ({prior.adam_steps} steps) and schedule.")


class HeadTrainer(Trainer):
    """Resumes to the same last step, never leaves half a checkpoint, says in one sentence what is wrong."""

    config: HeadTrainerConfig

    @property
    def dataset(self) -> HeadDataset:
        """The training views."""
        dataset = self.pipeline.datamanager.train_dataset
        assert isinstance(dataset, HeadDataset)
        return dataset

    def setup(self, test_mode="val") -> None:
        with exit_on_input_error():
            super().setup(test_mode)
            if self._start_step >= self.config.max_num_iterations:
                raise InputError(
                    f"the training in {self.config.load_dir or self.config.load_checkpoint} has already reached its "
                    f"last step {self.config.max_num_iterations - 1}: raise --epochs to go on"
                )
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_step))

    def progress(self, step: int) -> float:
        """Fraction of the training done before `step`, from the prior's own progress where that was carried over."""
        return float(self.pipeline.model.start_progress) + step / self.config.max_num_iterations

    def setup_optimizers(self) -> Optimizers:
        """Learning rates halved at fractions of the training; plain floats, so that checkpoints load safely."""
        optimizers = super().setup_optimizers()

        def factor(step: int) -> float:
            return 0.5 ** sum(self.progress(step) >= fraction for fraction in self.config.lr_halvings)

        for name, optimizer in optimizers.optimizers.items():
            optimizers.schedulers[name] = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return optimizers

    def _after_step(self, step: int) -> None:
        self.config.snapshot(self, step)
        # nerfstudio 1.1.5 counts max_num_iterations from the step it resumed at; this ends where the first run would.
        if step + 1 >= self.config.max_num_iterations:
            self.stop_training = True

    def _load_checkpoint(self) -> None:
        for path in (self.config.load_dir, self.config.load_checkpoint):
            if path is not None:
                newest = sorted(Path(path).glob("step-*.ckpt"))[-1] if Path(path).is_dir() else Path(path)
                read_checkpoint(newest)
                super()._load_checkpoint()
                return
        self.config.prepare(self)

    def save_checkpoint(self, step: int) -> None:
        """Write beside the checkpoints and rename, so that a kill leaves the last good one in its place."""
        step = min(step, self.config.max_num_iterations - 1)
        final_dir = self.checkpoint_dir
        self.checkpoint_dir = self.base_dir / ".unfinished"
        try:
            super().save_checkpoint(step)
            final_dir.mkdir(parents=True, exist_ok=True)
            name = f"step-{step:09d}.ckpt"
            os.replace(self.checkpoint_dir / name, final_dir / name)
            self.checkpoint_dir.rmdir()
        finally:
            self.checkpoint_dir = final_dir
        if self.config.save_only_latest_checkpoint:
            for old in final_dir.glob("step-*.ckpt"):
                if old.name != name:
                    old.unlink()
