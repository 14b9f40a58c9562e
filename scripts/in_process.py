"""Fits in this process, for the scripts beside this file: configured and stepped; no viewer, no checkpoints."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from torch import Tensor

from baseh3d_ns import __version__, methods

FAST: Any = methods.baseh3d_fast.config
SMALL_LR = 1e-3
"""For the small networks with IDR's 2048 rays a step."""
METHODS: dict[str, Any] = {
    "idr": methods.idr.config,
    "baseh3d": methods.baseh3d.config,
    "baseh3d-fast": methods.baseh3d_fast.config,
    "h3dnet-fast": methods.h3dnet_fast.config,
}


def configure(
    method: str, data: Path, scene: str, views: str, prior: Path | None, small: bool = True, **changes: Any
) -> Any:
    """A method's config on a scene; `small`: with the networks of baseh3d-fast; `changes`: a__b=1 sets config.a.b."""
    config = deepcopy(METHODS[method])
    parser = config.pipeline.datamanager.dataparser
    config.data, parser.data, parser.scene, parser.views = data, data, scene, (views,)
    config.vis, config.steps_per_save, config.steps_per_eval_image = "tensorboard", 10**9, 10**9
    config.output_dir, config.timestamp = Path(tempfile.mkdtemp()), "t"
    if hasattr(config, "load_prior"):
        config.load_prior = prior
    if small and method != "h3dnet-fast":
        config.pipeline.model.sdf_field = deepcopy(FAST.pipeline.model.sdf_field)
        if method != "baseh3d-fast":
            config.optimizers["fields"]["optimizer"].lr = SMALL_LR
    for path, value in changes.items():
        *parents, last = path.split("__")
        owner = config
        for parent in parents:
            owner = owner[parent] if isinstance(owner, dict) else getattr(owner, parent)
        setattr(owner, last, value)
    return config


def start(config: Any) -> tuple[Any, float]:
    """A trainer at step 0 and the seconds it took."""
    begin = time.monotonic()
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.pipeline.train()
    return trainer, time.monotonic() - begin


def run(
    trainer: Any, step: int, steps: int, keep_loss: Callable[[Tensor], Any] = lambda _: None
) -> tuple[int, int, float]:
    """Train so many steps, or to an earlier end, handing every step's loss on.

    Returns:
        The next step, the points the SDF network was asked for, the seconds.
    """
    network, counted = trainer.pipeline.model.field.sdf_network, 0

    def count(module, arguments):
        nonlocal counted
        counted += len(arguments[0])

    hook = network.register_forward_pre_hook(count)
    begin = time.monotonic()
    for number in range(step, step + steps):
        if number >= trainer.total_steps:
            break
        for callback in trainer.callbacks:
            callback.run_callback_at_location(number, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        keep_loss(trainer.train_iteration(number)[0].detach())
        step = number + 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.monotonic() - begin
    hook.remove()
    return step, counted, seconds


def check_same_options(out: Path, options: dict[str, Any]) -> None:
    """Results in `out` were made with these options, or this ends in a sentence."""
    options = {name: str(value) for name, value in options.items()} | {"version": __version__}
    file = out / "options.json"
    if file.is_file() and json.loads(file.read_text()) != options:
        raise SystemExit(f"Error: {out} holds results of other options or versions ({file}): choose another --out")
    file.write_text(json.dumps(options, indent=1))


def device_name() -> str:
    """The GPU, or the CPU with its threads."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
