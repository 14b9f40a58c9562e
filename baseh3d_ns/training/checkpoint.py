"""A checkpoint to go on from, compared with the training that is configured before anything in it is used.

Checkpoints come from other machines, other versions and other people. nerfstudio and torch take what they find: an
optimiser's state of any shape, a scheduler's attributes by any name. So all of it is looked at first.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import read_checkpoint
from baseh3d_ns.models.sdf_model import SdfModel
from baseh3d_ns.training.schedule import Schedule

SCHEDULE = "schedule._extra_state"
"""Name of the schedule's state in a checkpoint."""
_MODEL = "_model."
_SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
_SCHEDULER_LISTS, _SCHEDULER_NUMBERS = {"base_lrs", "_last_lr"}, {"last_epoch", "_step_count"}
_SCHEDULER_FLAGS = {"verbose", "_get_lr_called_within_step", "_is_initial"}
_GROUP_NUMBERS = ("lr", "initial_lr", "eps", "weight_decay")
_MOMENTS = ("exp_avg", "exp_avg_sq")
PARTS = {
    "field.": "other networks (--pipeline.model.sdf-field, or another method)",
    "latents": "other heads, or latents of another length",
    "camera_centres": "another number of views (--views)",
    "field.detail": "other detail (another size of the photos, --load-prior, --pipeline.model.sdf-field.detail)",
    "field.colour_detail": (
        "other detail of its colours (--finish-colours.steps 0, or not; another size of the photos; "
        "--pipeline.model.sdf-field.colour-detail)"
    ),
    "views.": "other corrections of the views (--pipeline.model.refine-cameras, refine-colours)",
    "anchor.": "another prior anchor (--pipeline.model.anchor.points, weight)",
    "start.": "another prior, or none, that it started from",
    "": "another model",
}
"""Parts of a model by the beginnings of their tensors' names, and what it means when they differ: the most telling
first."""


def open_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of a training of this package: step, tensors of the model, schedule, states of the optimisers.

    Names are those of a training on one device, whatever it was saved by.

    Raises:
        InputError: it is truncated, of another program, or lacks one of these.
    """
    state = read_checkpoint(path)
    tables = ("pipeline", "optimizers", "scalers")
    if not isinstance(state, dict) or not all(isinstance(state.get(name), dict) for name in tables):
        raise InputError(f"{path} is no checkpoint of a training: pass a step-*.ckpt that ns-train has saved")
    step = state.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise InputError(f"{path} does not say after which step it was saved: take another checkpoint of that run")
    pipeline = {
        str(name).removeprefix("module.").replace(f"{_MODEL}module.", _MODEL, 1): value
        for name, value in state["pipeline"].items()
    }
    if SCHEDULE not in pipeline:
        raise InputError(
            f"{path} was saved by a version before 0.2 and cannot be resumed: finish that training with its "
            "own version, or start a new one from it with --load-prior"
        )
    return {**state, "pipeline": pipeline}


def holds_start(pipeline: dict[str, Any]) -> bool:
    """Whether a pipeline's state holds the prior that its training started from."""
    return any(name.startswith(f"{_MODEL}start.") for name in pipeline)


def check_checkpoint(path: Path, model: SdfModel, optimizers: dict[str, torch.optim.Optimizer]) -> None:
    """Raise `InputError` unless a training with that model and those optimisers can go on from the checkpoint.

    Args:
        model: the model as it is configured, untrained; changed into one that remembers its start, where the checkpoint
            does.
        optimizers: optimisers of its parameters, by the names of their groups.
    """
    state = open_checkpoint(path)
    if holds_start(state["pipeline"]):
        model.keep_start()
    difference = _model_difference(state["pipeline"], model.state_dict())
    if difference:
        raise InputError(
            f"{path} was saved by another training, with {difference}: resume with the data, views and options in the "
            "config.yml of its run, or start afresh without --load-dir"
        )
    try:
        _check_pipeline(state["pipeline"])
        _check_optimizers(state["optimizers"], optimizers)
        _check_schedulers(state.get("schedulers", {}), set(optimizers))
        _check_scaler(state["scalers"])
    except ValueError as error:
        raise InputError(f"{path} cannot be resumed, {error}: take an earlier checkpoint, or start afresh") from error


def check_unfinished(path: Path, steps: int) -> None:
    """Raise `InputError` for a checkpoint of the last step of a training, or of a later one.

    Args:
        steps: length of the training.
    """
    if open_checkpoint(path)["step"] + 1 >= steps:
        raise InputError(
            f"the training in {path} has already reached its last step {steps - 1}: raise what ended it (--epochs, "
            "--steps-of-one-view, --max-num-iterations)"
        )


def _model_difference(saved: dict[str, Any], ours: dict[str, Tensor]) -> str | None:
    """The most telling difference between the saved tensors and those that are configured; None without any."""
    there = {name[len(_MODEL) :]: _shape(value) for name, value in saved.items() if name.startswith(_MODEL)}
    here = {name: _shape(tensor) for name, tensor in ours.items()}
    odd = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    for beginning, meaning in PARTS.items():
        for name in odd:
            if beginning == _part(name):
                sizes = f"{there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
                return f"{meaning} ('{name}': {sizes})"
    frame = "another unit frame (of own photos: another scale, see --mm-per-unit)"
    for name, meaning in (("camera_centres", "other views"), ("frame_mm", frame)):
        if name in ours and not torch.allclose(saved[_MODEL + name].to(ours[name]), ours[name], rtol=1e-4, atol=1e-4):
            return f"{meaning}, or of another scene (--views, --scene)"
    return None


def _part(name: str) -> str:
    """The longest beginning in `PARTS` of a tensor's name."""
    return max(filter(name.startswith, PARTS), key=len)


def _shape(value: Any) -> str:
    return " x ".join(map(str, value.shape)) or "a number" if isinstance(value, Tensor) else "no tensor"


def _check_pipeline(pipeline: dict[str, Any]) -> None:
    """Raise `ValueError` for numbers that are not finite, other names than the model's, or an odd schedule."""
    for name, value in pipeline.items():
        if name == SCHEDULE:
            Schedule().set_extra_state(value)
        elif not name.startswith(_MODEL):
            raise ValueError(f"it holds '{name[:60]}', which no training saves")
        elif not bool(value.isfinite().all()):
            raise ValueError(f"'{name}' is not finite")


def _check_optimizers(saved: dict[str, Any], optimizers: dict[str, torch.optim.Optimizer]) -> None:
    """Raise `ValueError` unless every optimiser is there, with moments of its parameters' shapes."""
    if set(saved) != set(optimizers):
        raise ValueError(
            f"its optimisers are {', '.join(sorted(map(str, saved)))}, not {', '.join(sorted(optimizers))}"
        )
    for name, optimizer in optimizers.items():
        (group,) = optimizer.param_groups
        parameters, state = group["params"], saved[name]
        groups = state.get("param_groups") if isinstance(state, dict) else None
        if not isinstance(groups, list) or len(groups) != 1 or not isinstance(groups[0], dict):
            raise ValueError(f"the state of its optimiser '{name}' is damaged")
        if groups[0].get("params") != list(range(len(parameters))) or not isinstance(state.get("state"), dict):
            raise ValueError(f"the optimiser '{name}' has other parameters")
        betas = groups[0].get("betas")
        if not isinstance(betas, tuple | list) or len(betas) != 2 or not all(_is_number(beta) for beta in betas):
            raise ValueError(f"the optimiser '{name}' lacks its decay rates")
        for key in _GROUP_NUMBERS:
            if not _is_number(groups[0].get(key)):
                raise ValueError(f"'{key}' of the optimiser '{name}' is no number")
        for index, moments in state["state"].items():
            if index not in range(len(parameters)) or not _are_moments(moments, parameters[index]):
                raise ValueError(f"the optimiser '{name}' keeps moments of another shape")


def _are_moments(moments: Any, parameter: Tensor) -> bool:
    """Whether these are Adam's step and moments of that parameter."""
    if not isinstance(moments, dict) or not _is_number(moments.get("step")):
        return False
    tensors = [moments.get(name) for name in _MOMENTS]
    return all(isinstance(t, Tensor) and t.shape == parameter.shape and bool(t.isfinite().all()) for t in tensors)


def _check_schedulers(saved: Any, names: set[str]) -> None:
    """Raise `ValueError` unless these are states of learning rate schedulers: torch sets attributes by their names."""
    if not isinstance(saved, dict) or not set(saved) <= names:
        raise ValueError("its learning rate schedulers are not those of its optimisers")
    for name, state in saved.items():
        if not isinstance(state, dict):
            raise ValueError(f"its scheduler '{name}' is damaged")
        for key, value in state.items():
            known = (
                (key in _SCHEDULER_NUMBERS and _is_number(value))
                or (key in _SCHEDULER_LISTS and isinstance(value, list) and all(map(_is_number, value)))
                or (key in _SCHEDULER_FLAGS and isinstance(value, bool))
                or (key == "lr_lambdas" and value == [None])
            )
            if not known:
                raise ValueError(f"its scheduler '{name}' would set '{str(key)[:60]}'")
        if "lr_lambdas" not in state:
            raise ValueError(f"its scheduler '{name}' is damaged")


def _check_scaler(saved: dict[str, Any]) -> None:
    """Raise `ValueError` unless this is the state of a gradient scaler, or of none."""
    if not set(saved) <= _SCALER or not all(map(_is_number, saved.values())):
        raise ValueError("its gradient scaler is damaged")


def _is_number(value: Any) -> bool:
    """Whether it is a finite number, perhaps in a tensor."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and bool(value.isfinite().all())
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
