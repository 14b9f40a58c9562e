"""A training in this process, as `ns-train` would do it, timed and scored on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation

from baseh3d_ns.benchmark.commands import parse
from baseh3d_ns.benchmark.in_process import score_trainer
from baseh3d_ns.benchmark.machine import now_s
from baseh3d_ns.benchmark.point import Point


@dataclass
class Trained:
    """A finished training."""

    trainer: Any
    folder: Path
    """Folder of the run, with its config.yml."""
    seconds: float = 0.0
    """Training time, start-up included, scoring on the way excluded."""
    curve: list[Point] = field(default_factory=list)
    """Scores on the way and at the end; empty where none were asked for."""

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.trainer.config.max_num_iterations)

    @property
    def epochs(self) -> int:
        """Epochs of one batch of rays for every training view; one that was begun counts."""
        return ceil(self.steps / len(self.trainer.pipeline.datamanager.train_dataset))


def train(command: list[str], fractions: tuple[float, ...] = ()) -> Trained:
    """Train to the end.

    Args:
        command: see `commands.arguments`.
        fractions: parts of the steps after which the head is also scored; the end then is as well.
    """
    from nerfstudio.scripts.train import _set_random_seed

    print("ns-train " + " ".join(command), flush=True)
    begin = now_s()
    config = parse(command)
    config.set_timestamp()
    config.save_config()
    # After the checks, as in `ns-train`: they draw random numbers too.
    _set_random_seed(config.machine.seed)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trained = Trained(trainer, config.get_base_dir())
    paused_s = 0.0
    due = {max(1, round(fraction * config.max_num_iterations)) for fraction in fractions}

    def score_on_the_way(step: int) -> None:
        nonlocal paused_s
        if step + 1 in due:
            stopped = now_s()
            trained.curve.append(Point(step + 1, stopped - begin - paused_s, *score_trainer(trainer)))
            paused_s += now_s() - stopped

    trainer.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], score_on_the_way))
    trainer.train()
    trained.seconds = now_s() - begin - paused_s
    if fractions and not (trained.curve and trained.curve[-1].step == trained.steps):
        trained.curve.append(Point(trained.steps, trained.seconds, *score_trainer(trainer)))
    return trained
