"""Trainings stepped by hand in this process, to measure them: no viewer, no evaluation, no checkpoint.

```python
config = configure("baseh3d-fast", out, {"data": root, "epochs": 100}, {"scene": "scan1", "views": "3"})
fit = start(config)                     # data, networks, placing, warm start
stretch = run(fit, 10)                  # ten steps: seconds, points asked of the SDF network
points = curve(fit, [50, 100, 300])     # goes on to those steps and scores there, the clock stopped
```
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from torch import nn

from baseh3d_ns.benchmark.commands import NEVER, Options, arguments, parse
from baseh3d_ns.benchmark.machine import now_s
from baseh3d_ns.benchmark.point import Point
from baseh3d_ns.evaluation.quick_score import quick_score


@dataclass
class InProcessFit:
    """A training that waits for its next step."""

    trainer: Any
    """Set up, in training mode."""
    start_s: float
    """Seconds before the first step: data, networks, placing and warm start."""
    step: int = 0
    """Number of the next step."""
    train_s: float = 0.0
    """Seconds of all steps so far, and of what follows the last."""


@dataclass(frozen=True)
class Stretch:
    """Cost of consecutive steps."""

    steps: int
    """Steps taken; fewer than asked for where the training ended."""
    seconds: float
    """Wall-clock seconds of the steps."""
    evaluations: int
    """Points the SDF network was asked for."""
    loss: float
    """Loss of the last step; NaN without a step."""


def configure(method: str, out: Path, options: Options, parser: Options, seed: int = 0) -> Any:
    """The config of a method with options changed (nested ones by their path), as `ns-train` would build it.

    Args:
        method: its name; options of the rows of a definition fit here.
        out: folder for config.yml.
        options: of `ns-train`, without dashes; `data` is the root.
        parser: of `h3ds-data` (`scene`, `views`, `downscale`); empty for a shape space.
        seed: of all random numbers.

    Raises:
        InputError: the method has no such option.
    """
    return parse(arguments(method, out, seed, {"steps-per-save": NEVER, **options}, parser))


def start(config: Any) -> InProcessFit:
    """Set up a training to its step 0, after everything given has been checked; seeds the random numbers.

    Raises:
        SystemExit: bad input; its sentence went to stderr.
    """
    from nerfstudio.scripts.train import _set_random_seed

    begin = now_s()
    config.save_config()
    _set_random_seed(config.machine.seed)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.pipeline.train()
    return InProcessFit(trainer, now_s() - begin)


def run(fit: InProcessFit, steps: int) -> Stretch:
    """Train so many steps, or to the last one and what follows it, which the stretch's seconds leave out."""
    trainer, first, loss = fit.trainer, fit.step, torch.tensor(float("nan"))
    begin = now_s()
    with _counted(trainer.pipeline.model.field.sdf_network) as counter:
        while fit.step < min(first + steps, trainer.total_steps):
            for callback in trainer.callbacks:
                callback.run_callback_at_location(fit.step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
            loss = trainer.train_iteration(fit.step)[0].detach()
            fit.step += 1
    seconds = now_s() - begin
    if first < fit.step == trainer.total_steps:
        trainer.finish()
    fit.train_s += now_s() - begin
    return Stretch(fit.step - first, seconds, counter.points, float(loss))


def curve(fit: InProcessFit, at_steps: Sequence[int]) -> list[Point]:
    """Train on and score after each of those steps (rigid, ground truth to surface); seconds include the start.

    Ends with the training's last step, and a score of that.
    """
    points = []
    for goal in at_steps:
        run(fit, goal - fit.step)
        points.append(score(fit))
        if fit.step >= fit.trainer.total_steps:
            break
    return points


def score(fit: InProcessFit) -> Point:
    """Face and head error of the head as it is now."""
    return Point(fit.step, fit.start_s + fit.train_s, *score_trainer(fit.trainer))


def score_trainer(trainer: Any) -> tuple[float, float]:
    """Face and head error in mm (`quick_score`) of the head that a trainer holds."""
    model, parser = trainer.pipeline.model, trainer.pipeline.datamanager.dataparser
    return quick_score(model.field.sdf, parser.scene.frame, model.device, parser.root.h3ds, parser.scene.scene_id)


@dataclass
class _Counter:
    points: int = 0


@contextmanager
def _counted(network: nn.Module) -> Iterator[_Counter]:
    """Count the points that a network is asked for."""
    counter = _Counter()

    def count(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        counter.points += len(inputs[0])

    hook = network.register_forward_pre_hook(count)
    try:
        yield counter
    finally:
        hook.remove()
