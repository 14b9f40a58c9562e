"""nerfstudio's Trainer with epochs as IDR counts them, a prior as start, and checkpoints that survive a kill."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_scene import read_image
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import check_writable
from baseh3d_ns.heads.head_file import check_carries_on
from baseh3d_ns.heads.readers import BUILTIN, MAKE_ONE, find_prior_file, load_prior, newest_checkpoint, read_checkpoint
from baseh3d_ns.heads.transfer import check_transfers
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.rendering.losses import ALPHA_END
from baseh3d_ns.training.initial_view import FirstLook
from baseh3d_ns.training.plateau import SETTLED
from baseh3d_ns.warm_start.start import start_from_prior, write_prior


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
        self.first_look = FirstLook(self.datamanager.train_dataset)


@dataclass
class CarefulTrainerConfig(TrainerConfig):
    """What every training here has: a schedule, checks before any long work, hooks."""

    _target: type = field(default_factory=lambda: HeadTrainer)
    lr_halvings: tuple[float, ...] = (0.5, 0.75)
    """Fractions of the training at which the learning rate is halved (IDR's schedule)."""
    lr_final: float = 1.0
    """The learning rate also falls exponentially to this fraction of itself over the training; 1 for not at all."""
    lr_warmup: float = 0.0
    """Fraction of the training over which the learning rate rises from nothing, from when the SDF begins to learn: the
    first steps of a fresh Adam are as large as any, and a prior is worth keeping."""
    plateau: float = 0.0
    """Finish early once the loss falls by less than this fraction from one --plateau-steps to the next, going through
    the rest of the schedule faster; 0: train to the last step."""
    plateau_steps: int = 75
    """Steps whose mean loss is compared with that of as many before (with --plateau)."""

    def lr_factor(self, progress: float) -> float:
        """What the learning rate is multiplied by after that fraction of the training."""
        learning = progress - self.sdf_learns_from()
        rising = learning / self.lr_warmup if 0.0 <= learning < self.lr_warmup else 1.0
        falling = self.lr_final**progress * 0.5 ** sum(progress >= fraction for fraction in self.lr_halvings)
        return rising * falling

    def sdf_learns_from(self) -> float:
        """Fraction of the training after which the SDF network learns."""
        return 0.0

    def save_config(self) -> None:
        """Check everything the user gave before a single file is written."""
        with exit_on_input_error():
            if self.max_num_iterations < 1 or self.plateau_steps < 1:
                raise InputError("--max-num-iterations and --plateau-steps must be at least 1")
            if not 0.0 <= self.plateau < 1.0:
                raise InputError(f"--plateau {self.plateau} is no fraction: 0.05 is 5 %, 0 trains to the last step")
            self.check_start()
            # The run must open from any folder.
            self.output_dir = self.output_dir.resolve()
            self.check_data()
            check_writable(self.get_base_dir())
        super().save_config()

    def check_start(self) -> None:
        """Raise `InputError` when what the training starts from cannot be used."""
        checkpoint = self.resume_from()
        if checkpoint is not None:
            read_checkpoint(checkpoint)

    def check_data(self) -> None:
        """Raise `InputError` when the data cannot be used."""

    def resume_from(self) -> Path | None:
        """The checkpoint to go on from, or None for a fresh training."""
        if self.load_dir is not None:
            return newest_checkpoint(Path(self.load_dir), self.load_step)
        if self.load_checkpoint is not None and not Path(self.load_checkpoint).is_file():
            raise InputError(f"no such checkpoint: {self.load_checkpoint}; pass a step-*.ckpt of a run")
        return self.load_checkpoint

    def prepare(self, trainer: HeadTrainer) -> None:
        """Called at step 0 of a fresh training, once networks and optimiser are there."""

    def snapshot(self, trainer: HeadTrainer, step: int) -> None:
        """Called after every training step."""


@dataclass
class HeadTrainerConfig(CarefulTrainerConfig):
    """Training of one head."""

    pipeline: HeadPipelineConfig = field(default_factory=HeadPipelineConfig)
    """Data and model."""
    epochs: int = 2000
    """Length of the training: an epoch is one batch of rays for every training view (--max-num-iterations caps it)."""

    def sdf_learns_from(self) -> float:
        return self.pipeline.model.sdf_learns_from()

    def check_data(self) -> None:
        """Read the scene, and fix the number of steps."""
        if self.machine.num_devices * self.machine.num_machines > 1:
            raise InputError("one device holds all rays of a head: leave --machine.num-devices at 1")
        if self.epochs < 1:
            raise InputError("--epochs must be at least 1")
        self.pipeline.model.check_networks()
        alpha = self.pipeline.model.mask_alpha
        if not 0.0 < alpha <= ALPHA_END:
            raise InputError(f"--pipeline.model.mask-alpha {alpha}: choose a sharpness above 0, {ALPHA_END:g} at most")
        manager = self.pipeline.datamanager
        manager.data = manager.dataparser.data = Path(manager.data or manager.dataparser.data).resolve()
        parser = manager.dataparser.setup()
        photos = {split: parser.get_dataparser_outputs(split).image_filenames for split in ("train", "val")}
        for path in dict.fromkeys(photos["train"] + photos["val"]):
            read_image(path)  # Eval photos are only opened in the middle of the training.
        self.max_num_iterations = min(self.max_num_iterations, self.epochs * len(photos["train"]))


@dataclass
class PriorTrainerConfig(HeadTrainerConfig):
    """Pre-training on one well-captured subject; writes priors on its way."""

    epochs: int = 500
    """Length of the training: in an epoch every training view gives one batch of rays."""
    snapshot_epochs: tuple[int, ...] = (500, 1000, 2000)
    """Epochs after which a prior is written, besides the one at the end."""

    def snapshot(self, trainer: HeadTrainer, step: int) -> None:
        views = len(trainer.dataset)
        last = step + 1 == trainer.total_steps
        epochs, rest = divmod(step + 1, views)
        if not last and (rest or epochs not in self.snapshot_epochs):
            return
        # A training that was capped ends within an epoch: it counts as begun, so that no snapshot is written over.
        path = write_prior(trainer, epochs + (rest > 0), step)
        CONSOLE.log(f"Wrote the prior after {epochs + (rest > 0)} epochs: {path}")


@dataclass
class FewShotTrainerConfig(HeadTrainerConfig):
    """Fit of a new head that starts from a prior."""

    load_prior: Path | None = None
    """Where to start: `builtin` (a shape space of synthetic heads), a prior .safetensors, a run folder, its config.yml,
    a .ckpt, or an original IDR .pth."""
    carry_optimizer: bool = False
    """Also continue with the prior's optimiser and schedule, as BaseH3D-Net's original did."""
    register: bool = False
    """Place the prior where masks and photos show the head before fitting: seconds; BaseH3D-Net's original did not."""
    colours_first: int = 0
    """Steps in which colours alone are learned before the training, on the prior's surface: its own are another
    person's."""
    latent_first: int = 0
    """Steps in which a shape space's latent, placement and colours then fit the photos (with --register)."""

    def check_start(self) -> None:
        super().check_start()
        if self.resume_from() is not None:
            return
        if self.load_prior is None:
            raise InputError(f"{self.method_name} starts from a prior: pass --load-prior FILE; {MAKE_ONE}")
        if self.load_prior != BUILTIN:
            self.load_prior = find_prior_file(self.load_prior).resolve()
        if min(self.colours_first, self.latent_first) < 0:
            raise InputError("--colours-first and --latent-first: pass a number of steps, or 0")
        if self.carry_optimizer and max(self.colours_first, self.latent_first) > 0:
            raise InputError("--carry-optimizer goes with neither --colours-first nor --latent-first: set both to 0")
        prior = load_prior(self.load_prior)
        check_transfers(prior, self.pipeline.model.sdf_field, self.load_prior)
        if self.carry_optimizer:
            check_carries_on(prior, self.pipeline.model.sdf_field, self.load_prior)

    def prepare(self, trainer: HeadTrainer) -> None:
        start_from_prior(self, trainer)


class HeadTrainer(Trainer):
    """Resumes to the same last step, never leaves half a checkpoint, says in one sentence what is wrong."""

    config: CarefulTrainerConfig
    start_progress: float = 0.0

    @property
    def dataset(self) -> HeadDataset:
        """The training views."""
        dataset = self.pipeline.datamanager.train_dataset
        assert isinstance(dataset, HeadDataset)
        return dataset

    def setup(self, test_mode="val") -> None:
        with exit_on_input_error():
            super().setup(test_mode)
            if self._start_step >= self.total_steps:
                raise InputError(
                    f"the training in {self.config.resume_from()} has already reached its last step "
                    f"{self.total_steps - 1}: raise --epochs or --max-num-iterations to go on, with --plateau 0"
                )
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_step))

    @property
    def total_steps(self) -> int:
        """Number of steps that the training has, as planned or as it turned out."""
        return self.pipeline.model.early_end.last(self.config.max_num_iterations)

    def progress(self, step: int) -> float:
        """Fraction of the training done before `step`, from the prior's own progress where that was carried over."""
        return self.start_progress + self.pipeline.model.early_end.progress(step, self.config.max_num_iterations)

    def setup_optimizers(self) -> Optimizers:
        """Learning rates fall as the config's `lr_factor` says; plain floats, so that checkpoints load safely."""
        optimizers = super().setup_optimizers()
        for name, optimizer in optimizers.optimizers.items():
            optimizers.schedulers[name] = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: self.config.lr_factor(self.progress(step))
            )
        return optimizers

    def train_iteration(self, step: int) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """One step, and a look at its loss."""
        result = super().train_iteration(step)
        config, end = self.config, self.pipeline.model.early_end
        # Not before the shape learns at its full rate.
        settled = max(SETTLED, config.sdf_learns_from() + config.lr_warmup)
        if config.plateau > 0.0 and end.see(
            result[0], step, config.max_num_iterations, config.plateau, config.plateau_steps, settled
        ):
            ends = f"the training ends with step {self.total_steps - 1}, not {config.max_num_iterations - 1}"
            CONSOLE.log(f"The loss has stopped falling (step {step}): {ends}.")
        return result

    def _after_step(self, step: int) -> None:
        self.config.snapshot(self, step)
        # nerfstudio 1.1.5 counts max_num_iterations from the step it resumed at; this ends where the first run would.
        if step + 1 >= self.total_steps:
            self.stop_training = True

    def _load_checkpoint(self) -> None:
        if self.config.resume_from() is not None:
            super()._load_checkpoint()
            if self.config.plateau <= 0.0:
                self.pipeline.model.early_end.forget()
        else:
            self.config.prepare(self)
        self.start_progress = float(self.pipeline.model.start_progress)
        for optimizer in self.optimizers.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self.config.lr_factor(self.progress(self._start_step))

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write beside the checkpoints and rename, so that a kill leaves the last good one in its place."""
        step = min(step, self.total_steps - 1)
        final_dir = self.checkpoint_dir
        self.checkpoint_dir = self.base_dir / ".unfinished"
        shutil.rmtree(self.checkpoint_dir, ignore_errors=True)
        try:
            super().save_checkpoint(step)
            final_dir.mkdir(parents=True, exist_ok=True)
            name = f"step-{step:09d}.ckpt"
            os.replace(self.checkpoint_dir / name, final_dir / name)
            shutil.rmtree(self.checkpoint_dir, ignore_errors=True)
        finally:
            self.checkpoint_dir = final_dir
        if self.config.save_only_latest_checkpoint:
            for old in final_dir.glob("step-*.ckpt"):
                if old.name != name:
                    old.unlink()
