"""Pre-training on one well-captured subject: writes priors on its way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bounds import Count
from baseh3d_ns.heads.head_file import Head, save_head
from baseh3d_ns.heads.networks import adam_moments
from baseh3d_ns.training.head_trainer import HeadTrainer, HeadTrainerConfig


@dataclass
class PriorTrainerConfig(HeadTrainerConfig):
    """Pre-training on one well-captured subject; writes priors on its way."""

    _target: type = field(default_factory=lambda: PriorTrainer)
    epochs: Count = 500
    """Length of the training: in an epoch every training view gives one batch of rays."""
    snapshot_epochs: tuple[Count, ...] = (500, 1000, 2000)
    """Epochs after which a prior is written, besides the one at the end."""


class PriorTrainer(HeadTrainer):
    """A pre-training; its head files keep Adam's moments, so that a fit can carry them on."""

    config: PriorTrainerConfig

    def head(self, step: int) -> Head:
        moments, steps = adam_moments(self.pipeline.model.field, self.optimizers.optimizers["fields"])
        return replace(super().head(step), moments=moments, adam_steps=steps)

    def after_step(self, step: int) -> None:
        """Write the prior of an epoch that asks for one, and that of the last step."""
        epochs, rest = divmod(step + 1, len(self.dataset))
        if step + 1 < self.total_steps and (rest or epochs not in self.config.snapshot_epochs):
            return
        # A training that was capped ends within an epoch: it counts as begun, so that no snapshot is written over.
        path = self.base_dir / f"prior-{self.epochs_after(step):06d}.safetensors"
        save_head(path, self.head(step))
        CONSOLE.log(f"Wrote the prior after {self.epochs_after(step)} epochs: {path}")
