"""Fit of a new head that starts from a prior."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bounds import Count, CountOrNone
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.detail_grid import DetailGridConfig
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.fields.networks import SdfNetworkConfig
from baseh3d_ns.heads.head_file import HEAD_FILE, Head
from baseh3d_ns.heads.networks import carry_optimizer, check_carries_on, field_of_head
from baseh3d_ns.heads.readers import BUILTIN, MAKE_A_SPACE, MAKE_ONE, find_head_file, open_head
from baseh3d_ns.heads.transfer import check_transfers
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.training.head_trainer import HeadTrainer, HeadTrainerConfig
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.config import ColourConfig, WarmStartConfig
from baseh3d_ns.warm_start.start import WarmStart, warm_start
from baseh3d_ns.warm_start.unseen_colours import in_colours_of


@dataclass
class FewShotTrainerConfig(HeadTrainerConfig):
    """Fit of a new head that starts from a prior."""

    _target: type = field(default_factory=lambda: FewShotTrainer)
    epochs: CountOrNone = 2000
    """Length of the training: an epoch is one batch of rays for every training view (--max-num-iterations caps it); 0:
    --steps-of-one-view steps times the square root of the number of views."""
    steps_of_one_view: Count = 350
    """Steps of a training with one view, with --epochs 0; more views take more, but show much that others show, too."""
    load_prior: Path | None = None
    """Prior to start from: `builtin` (a shape space of synthetic heads), a head file or prior (.safetensors), a run
    folder, its config.yml, a .ckpt, or an original IDR .pth."""
    carry_optimizer: bool = False
    """Also continue with the prior's optimiser and schedule, as BaseH3D-Net's original did."""
    register: bool = False
    """Place the prior where masks and photos show the head before fitting: seconds; BaseH3D-Net's original did not."""
    placing: PlacingConfig = field(default_factory=PlacingConfig)
    """Settings of the registration (with --register)."""
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    """Colours and latent, learned on the prior's surface before the first training step."""
    finish_colours: ColourConfig = field(default_factory=ColourConfig)
    """Colours, learned on the finished surface after the last training step."""

    def networks(self) -> HeadFieldConfig:
        """Networks of the model; a prior's own detail goes on as it is."""
        networks = super().networks()
        if len(self.splits()[0].image_filenames) == 1:
            networks = replace(networks, detail=DetailGridConfig())  # a single photo shows no depth
        if not self.finish_colours.steps:
            networks = replace(networks, colour_detail=DetailGridConfig())  # nothing would teach it
        if self.load_prior is None:
            return networks
        there = self.load_prior == BUILTIN or Path(self.load_prior).exists()
        # Where a resumed fit's prior is gone, its checkpoint still has that detail.
        source = self.load_prior if there else self.resume_from()
        if source is None:
            return networks
        own = field_of_head(open_head(source), source).config.detail
        return replace(networks, detail=own) if own.cells else networks

    def check_start(self) -> None:
        make_one = MAKE_A_SPACE if self.pipeline.model.sdf_field.sdf.latent else MAKE_ONE
        if self.load_prior is None:
            raise InputError(f"{self.method_name} starts from a prior: pass --load-prior FILE; {make_one}")
        self.check_options()
        if not Path(self.load_prior).exists() and self.load_prior != BUILTIN:
            raise InputError(f"no such prior: {self.load_prior}; {make_one}")
        self.pipeline.model.check()  # before networks of these sizes are built
        prior = open_head(self.load_prior)
        check_transfers(prior, self.networks(), self.load_prior)
        if self.carry_optimizer:
            check_carries_on(prior, self.pipeline.model.sdf_field, self.load_prior)

    def check_options(self) -> None:
        """Raise `InputError` for options that no prior allows."""
        if self.pipeline.model.sdf_field.sdf.sphere_radius != SdfNetworkConfig.sphere_radius:
            raise InputError(
                "--pipeline.model.sdf-field.sdf.sphere-radius: a fit starts from its prior, no sphere: leave it out"
            )
        warm_up_steps = (self.warm_start.colours.steps, self.warm_start.latent.steps)
        if self.carry_optimizer and max(warm_up_steps) > 0:
            raise InputError(
                "--carry-optimizer goes with no warm start: set --warm-start.colours.steps and "
                "--warm-start.latent.steps to 0"
            )

    def resolve(self) -> None:
        if not self.epochs:
            count = len(self.splits()[0].image_filenames)
            steps = round(self.steps_of_one_view * count**0.5)
            self.epochs, self.max_num_iterations = ceil(steps / count), min(self.max_num_iterations, steps)
        super().resolve()
        if self.load_prior is not None and self.load_prior != BUILTIN and self.resume_from() is None:
            self.load_prior = find_head_file(self.load_prior).resolve()


class FewShotTrainer(HeadTrainer):
    """A fit from a prior."""

    config: FewShotTrainerConfig
    started_from: str | None = None
    """Path of the prior, or `builtin`; None for a resumed fit whose run does not say."""
    start_warnings: tuple[str, ...] = ()
    """Reasons to doubt how the prior was placed, one sentence each."""
    finished: bool = False
    """Whether what follows the last step has been done."""

    def provenance(self, step: int) -> dict[str, Any]:
        return {
            **super().provenance(step),
            "load_prior": self.started_from,
            "warnings": list(self.start_warnings),
            "colours_finished": self.finished or not self.config.finish_colours.steps,
        }

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        checkpoint = self.config.resume_from()
        if checkpoint is not None:
            colour_detail = self.pipeline.model.field.colour_detail
            if colour_detail is not None:
                colour_detail.forget()  # of a fit that was finished before
            known: dict[str, Any] = {}
            with suppress(InputError):  # a checkpoint that was copied without its run's head file goes on as well
                known = open_head(checkpoint.parent.parent / HEAD_FILE).provenance
            self.started_from, self.start_warnings = known.get("load_prior"), tuple(known.get("warnings") or ())

    def finish(self) -> None:
        """Learn the colours on the finished surface."""
        model, config = self.pipeline.model, self.config
        if config.finish_colours.steps:
            # Under the lock that the viewer's pictures and buttons wait for.
            CONSOLE.log("Learning the colours on the finished surface; a viewer waits until that is done.")
            cells, known, views = config.warm_start.grid_cells, self._in_prior_colours(), model.views
            finish = config.finish_colours.for_views(len(self.dataset))
            learn_colours(model.field, self.ray_pool, finish, cells, detail=True, known=known, corrections=views)
        self.finished = True

    def _in_prior_colours(self) -> HeadField | None:
        """The head that the fit started with, in its prior's colours; None where the prior is no longer there."""
        start, source, known = self.pipeline.model.start, self.started_from, None
        with suppress(InputError, OSError):
            if start is not None and source is not None:
                known = in_colours_of(open_head(Path(source)), Path(source), start)
        if known is None:
            CONSOLE.log("Colours that no photo sees stay as they are: the prior is gone, or of other networks.")
        return known

    def start(self) -> None:
        """Place the prior, learn colours and latent on it, and begin there."""
        config, source = self.config, self.config.load_prior
        assert source is not None
        prior, model = open_head(source), self.pipeline.model
        self.started_from = str(source)
        placing = config.placing if config.register else None
        started = warm_start(prior, source, model.field, self.dataset, self.ray_pool, config.warm_start, placing)
        self.start_warnings = started.placed.warnings if started.placed else ()
        model.update_to_step(model.step)  # the viewer may have looked at the untrained surface
        model.keep_start()
        self._set_anchor(started)
        if config.carry_optimizer:
            self._carry_on(prior)

    def _set_anchor(self, started: WarmStart) -> None:
        """Anchor the head to the placed prior where that knows more than what grows there by itself.

        A prior of another person, or one that was not placed, does not; with a single view it does, since one photo
        shows no depth.
        """
        model = self.pipeline.model
        if model.anchor is None:
            return
        anchors = model.anchor.one_view or (started.placed is not None and started.from_shape_space)
        if not anchors:
            CONSOLE.log("Where no photo sees, the prior holds nothing: only a shape space with --register True does.")
        confidence = started.placed.confidence if started.placed else 1.0
        model.anchor.set_reference(model.field, confidence if anchors else 0.0)

    def _carry_on(self, prior: Head) -> None:
        """Continue with the prior's optimiser and schedule."""
        carry_optimizer(prior, self.pipeline.model.field, self.optimizers.optimizers["fields"])
        self.schedule.start_progress = float(prior.provenance["epochs"]) / self.config.epochs
        CONSOLE.log(f"Carry on with its optimiser ({prior.adam_steps} steps) and schedule.")
