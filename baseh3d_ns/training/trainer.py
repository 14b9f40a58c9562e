"""The base of every training: nerfstudio's Trainer with checks before any long work, a schedule, and checkpoints that
survive a kill."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
import yaml
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.bounds import Fraction, Share, check_bounds
from baseh3d_ns.errors import InputError, ended_by_interrupt, exit_on_input_error
from baseh3d_ns.files import make_run_folder, named_disk_errors, remove_left_by_kills, whole_file, write_text
from baseh3d_ns.heads.readers import step_of
from baseh3d_ns.models.sdf_model import SdfModel
from baseh3d_ns.quiet import quiet_libraries
from baseh3d_ns.training.checkpoint import check_checkpoint, check_unfinished
from baseh3d_ns.training.closing_words import how_to_go_on
from baseh3d_ns.training.devices import check_devices, check_precision, named_memory_errors
from baseh3d_ns.training.fair_lock import FairLock
from baseh3d_ns.training.learning_rates import following, set_rates
from baseh3d_ns.training.loss_history import LossHistory
from baseh3d_ns.training.pipeline import SdfPipeline
from baseh3d_ns.training.resumption import check_no_option_is_dropped, check_no_run_is_replaced, checkpoint_to_resume
from baseh3d_ns.training.schedule import Schedule

NOTHING_SAVED = "Stopped before its first step: nothing new was saved."


@dataclass
class SdfTrainerConfig(TrainerConfig):
    """Schedule of a training."""

    _target: type = field(default_factory=lambda: SdfTrainer)
    lr_halvings: tuple[Fraction, ...] = (0.5, 0.75)
    """Fractions of the training at which the learning rate is halved (IDR's schedule)."""
    lr_final: Share = 1.0
    """The learning rate also falls exponentially to this fraction of itself over the training; 1 for not at all."""
    lr_warmup: Fraction = 0.0
    """Fraction of the training over which the learning rate rises from 0, from when the SDF begins to learn: the first
    steps of a fresh Adam are as large as any, and a prior is worth keeping."""

    prompt: tyro.conf.Suppress[str | None] = None
    mixed_precision: tyro.conf.Suppress[bool] = False
    use_grad_scaler: tyro.conf.Suppress[bool] = False
    load_scheduler: tyro.conf.Suppress[bool] = True

    def lr_factor(self, progress: float) -> float:
        """Factor on the learning rates after that fraction of the training."""
        learning = progress - self.sdf_learns_from()
        rising = learning / self.lr_warmup if 0.0 <= learning < self.lr_warmup else 1.0
        falling = self.lr_final**progress * 0.5 ** sum(progress >= fraction for fraction in self.lr_halvings)
        return rising * falling

    def sdf_learns_from(self) -> float:
        """Fraction of the training after which the SDF network learns."""
        return 0.0

    def save_config(self) -> None:
        """Check everything the user gave before a single file is written."""
        quiet_libraries()
        with exit_on_input_error():
            check_no_option_is_dropped(sys.argv)
            self.check()
            self.resolve()
            if (checkpoint := self.resume_from()) is not None:
                check_unfinished(checkpoint, self.max_num_iterations)
            check_no_run_is_replaced(named := self.get_base_dir(), checkpoint)
            if (made := make_run_folder(named)) != named:
                self.timestamp = made.name
            path = made / "config.yml"
            CONSOLE.log(f"Saving config to: {path}")
            write_text(path, yaml.dump(self))

    def check(self) -> None:
        """Raise `InputError` when the training cannot be run as it is configured; changes nothing."""
        check_bounds(self)
        check_devices(self.machine)
        check_precision(self)
        if self.resume_from() is None:
            self.check_start()

    def check_start(self) -> None:
        """Raise `InputError` when a fresh training has nothing to start from."""

    def untrained_model(self) -> SdfModel:
        """The model as the pipeline would build it; an `InputError` when the data cannot be used."""
        raise NotImplementedError

    def check_resumed(self) -> None:
        """Raise `InputError` unless this training can go on from the checkpoint that it names, if any."""
        checkpoint = self.resume_from()
        if checkpoint is None:
            return
        with torch.random.fork_rng(devices=[]):
            model = self.untrained_model()
        groups = model.get_param_groups()
        optimizers = {name: self.optimizers[name]["optimizer"].setup(params=group) for name, group in groups.items()}
        check_checkpoint(checkpoint, model, optimizers)

    def resolve(self) -> None:
        """Write out what config.yml must say, so that the run opens from any folder."""
        self.output_dir = self.output_dir.resolve()
        checkpoint = self.resume_from()
        if self.load_dir is not None and checkpoint is not None:
            # nerfstudio takes every name in that folder for a checkpoint's.
            self.load_step = step_of(checkpoint)

    def resume_from(self) -> Path | None:
        """The checkpoint to go on from, or None for a fresh training; see `checkpoint_to_resume`."""
        return checkpoint_to_resume(self.load_dir, self.load_step, self.load_checkpoint)


class SdfTrainer(Trainer):
    """A training that resumes to the same last step and never leaves half a checkpoint.

    Subclasses say how a fresh training starts (`start`), what is written after a step (`after_step`), and what follows
    the last one (`finish`).
    """

    config: SdfTrainerConfig
    pipeline: SdfPipeline
    train_lock: Any

    def __init__(self, config: SdfTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        super().__init__(config, local_rank, world_size)
        self.losses = LossHistory()
        self.train_lock = FairLock()
        self.steps_done = 0

    def start(self) -> None:
        """Begin a fresh training, once networks and optimisers are there."""

    def after_step(self, step: int) -> None:
        """Write what is due after a training step."""

    def finish(self) -> None:
        """Do what follows the last training step; trainings that are stepped by hand call it, too."""

    @property
    def schedule(self) -> Schedule:
        """Progress of this training."""
        return self.pipeline.schedule

    @property
    def total_steps(self) -> int:
        """Number of steps of the training."""
        return self.config.max_num_iterations

    def setup(self, test_mode="val") -> None:
        with exit_on_input_error(), named_memory_errors(), ended_by_interrupt(lambda: NOTHING_SAVED):
            super().setup(test_mode)
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_step))

    def setup_optimizers(self) -> Optimizers:
        """nerfstudio's optimisers with learning rates that follow the config's `lr_factor`."""
        self.schedule.planned = self.config.max_num_iterations
        return following(
            self.config.optimizers,
            self.pipeline.get_param_groups(),
            lambda step: self.config.lr_factor(self.schedule.progress(step)),
        )

    def train(self) -> None:
        """nerfstudio's loop; where a disk or memory is full, it ends with a sentence that says how to go on. Ctrl-C
        ends it as its last step does, with a checkpoint."""
        with exit_on_input_error(), ended_by_interrupt(self.keep_what_is_done):
            try:
                with named_disk_errors(self.base_dir / "its logs"), named_memory_errors():
                    super().train()
            except InputError as error:
                raise InputError(f"{error}; {self.how_to_go_on()}") from error

    def keep_what_is_done(self) -> str:
        """Save an interrupted training; a sentence where there is nothing to save."""
        if not self.steps_done:
            return NOTHING_SAVED
        last = self.checkpoint_dir / f"step-{self.steps_done - 1:09d}.ckpt"
        if self.training_state == "completed" and last.is_file():
            return ""  # only the viewer was still open
        self.step = self.steps_done - 1
        self.config.viewer.quit_on_train_completion = True
        self._after_train()
        return ""

    def how_to_go_on(self) -> str:
        """The command that goes on from the last checkpoint of this run, in words."""
        return how_to_go_on(self.checkpoint_dir, self.config.method_name)

    def train_iteration(self, step: int) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """One step; its loss goes into the history."""
        result = super().train_iteration(step)
        self.losses.note(step, result[0])
        return result

    def _after_step(self, step: int) -> None:
        self.after_step(step)
        # nerfstudio 1.1.5 counts max_num_iterations from the step it resumed at; this ends where the first run would.
        if step + 1 >= self.total_steps:
            self.finish()  # interrupted here, the training goes on with its last step
            self.stop_training = True
        self.steps_done = step + 1

    def _load_checkpoint(self) -> None:
        checkpoint = self.config.resume_from()
        if checkpoint is not None:
            remove_left_by_kills(checkpoint.parent.parent)
            super()._load_checkpoint()
            self.schedule.planned = self.config.max_num_iterations
        else:
            # The viewer is open already; its pictures wait, since weight norm's cache is one for all threads.
            with self.train_lock:
                self.start()
        set_rates(self.optimizers, self._start_step)

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write the checkpoint, hidden beside its folder until it is whole.

        A kill leaves the last good one in its place, and never anything else in that folder: stock tools read every
        name in it as a step.
        """
        step = min(step, self.total_steps - 1)
        final_dir, name = self.checkpoint_dir, f"step-{step:09d}.ckpt"
        with whole_file(final_dir / name, hidden_in=self.base_dir) as unfinished:
            self.checkpoint_dir = unfinished.parent
            try:
                super().save_checkpoint(step)
            finally:
                self.checkpoint_dir = final_dir
            os.replace(unfinished.parent / name, unfinished)
        if self.config.save_only_latest_checkpoint:
            for old in final_dir.glob("step-*.ckpt"):
                if old.name != name:
                    old.unlink()
