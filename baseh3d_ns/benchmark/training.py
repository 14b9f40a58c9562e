"""A training in this process, as `ns-train` would do it, timed and scored on its way."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation

from baseh3d_ns.benchmark.definition import Options
from baseh3d_ns.benchmark.results import Point
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.quick_score import quick_score

FOLDER, TIMESTAMP = "train", "run"
"""Experiment name and timestamp of every cell: one training a folder."""


@dataclass
class Trained:
    """What a training leaves."""

    trainer: Any
    folder: Path
    seconds: float = 0.0
    """Of training from start to end, start-up included, scoring on the way not."""
    curve: list[Point] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps taken; nerfstudio's own trainers know no early end."""
        return getattr(self.trainer, "total_steps", self.trainer.config.max_num_iterations)

    @property
    def device(self) -> str:
        """The GPU, or the CPU and its threads."""
        if self.trainer.pipeline.model.device.type == "cuda":
            return torch.cuda.get_device_name()
        return f"CPU, {torch.get_num_threads()} threads"

    @property
    def peak_memory_gb(self) -> float:
        """Of the GPU where there is one, else of the process."""
        if self.trainer.pipeline.model.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        # Bytes on macOS, kilobytes elsewhere.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def words(option: str, value: Any) -> list[str]:
    """An option of a definition as `ns-train` takes it."""
    values = value if isinstance(value, list | tuple) else [value]
    return [f"--{option.replace('_', '-')}", *map(str, values)]


def arguments(method: str, folder: Path, seed: int, options: Options, parser: Options) -> list[str]:
    """The command line of one training, after `ns-train`."""
    fixed = {
        "vis": "tensorboard", "output-dir": folder, "experiment-name": FOLDER, "timestamp": TIMESTAMP,
        "machine.seed": seed, "steps-per-eval-image": 10**9, "steps-per-eval-batch": 10**9,
        "steps-per-eval-all-images": 10**9,
    }  # fmt: skip
    if hasattr(method_config(method), "plateau"):
        fixed["plateau"] = 0.0  # rows are compared after equal numbers of epochs
    first = [word for name, value in {**fixed, **options}.items() for word in words(name, value)]
    if not parser:
        return [method, *first]
    return [method, *first, "h3ds-data", *(word for name, value in parser.items() for word in words(name, value))]


def parse(command: list[str]) -> Any:
    """The config that `ns-train` would build of a command.

    Raises:
        InputError: it does not take these options; what it said stands in the log.
    """
    from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion

    try:
        config = tyro.cli(AnnotatedBaseConfigUnion, args=command)
    except SystemExit as error:
        raise InputError(f"ns-train {command[0]} does not take the options of this cell: see its log") from error
    if config.data:
        config.pipeline.datamanager.data = config.data
    return config


def train(command: list[str], fractions: tuple[float, ...] = ()) -> Trained:
    """Train to the end.

    Args:
        command: what `arguments` gives.
        fractions: of the steps, after which the head is also scored.
    """
    from nerfstudio.scripts.train import _set_random_seed

    print("ns-train " + " ".join(command), flush=True)
    begin = _now()
    config = parse(command)
    config.set_timestamp()
    _set_random_seed(config.machine.seed)
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trained = Trained(trainer, config.get_base_dir())
    paused_s = 0.0
    due = {max(1, round(fraction * config.max_num_iterations)) for fraction in fractions}

    def score_on_the_way(step: int) -> None:
        nonlocal paused_s
        if step + 1 in due:
            stopped = _now()
            trained.curve.append(Point(step + 1, stopped - begin - paused_s, *quick_score(trainer)))
            paused_s += _now() - stopped

    trainer.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], score_on_the_way))
    trainer.train()
    trained.seconds = _now() - begin - paused_s
    return trained


def _now() -> float:
    """Seconds, once the GPU has done what it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def method_config(name: str) -> Any:
    """The defaults of a method of nerfstudio or of a plugin."""
    from nerfstudio.configs.method_configs import all_methods

    return all_methods[name]


def count_views(data: Path, parser: Options) -> int:
    """Training views of a scene."""
    return len(H3dsDataParserConfig(data=data, scene=parser["scene"], views=(parser["views"],)).setup().train_views)
