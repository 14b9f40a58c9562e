"""Early stopping: a fit whose loss has reached a plateau ends before its last step.

The schedule (learning rate, sharpness of the mask loss) is made for a fixed number of steps, and its end is what makes
a surface smooth. So a training does not just stop: it goes through the rest of its schedule faster, in a cooldown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class PlateauRule:
    """Rule by which a loss counts as having stopped falling, and the length of the cooldown that follows."""

    min_fall: float
    """Relative fall of the mean loss from one window to the next below which the loss is on a plateau."""
    window: int
    """Steps whose losses are averaged."""
    first: float
    """Fraction of the training before which losses are not compared."""
    cooldown: float
    """Steps of the cooldown, as a fraction of the steps done by then."""


KEPT = {
    "planned": int,
    "start_progress": float,
    "cooldown_start": int,
    "total": int,
    "loss_count": int,
    "mean_before": float,
    "loss_sum": float,
}
"""Attributes of a schedule that checkpoints keep, with their types; nothing else is taken from a file."""

MAY_BE_INFINITE = ("mean_before", "loss_sum")
"""Attributes that are infinite before any loss, or after a loss that was."""


def check_state(state: Any) -> None:
    """Raise `ValueError` unless this is a schedule's state: its names, and numbers that a schedule can have."""
    if not isinstance(state, dict) or set(state) != set(KEPT):
        raise ValueError("its schedule is damaged")
    for name, kind in KEPT.items():
        number = isinstance(state[name], int if kind is int else int | float) and not isinstance(state[name], bool)
        if not number or not (isfinite(state[name]) or name in MAY_BE_INFINITE):
            raise ValueError(f"'{name}' of its schedule is {str(state[name])[:40]}")
    if min(state[name] for name, kind in KEPT.items() if kind is int) < 0 or state["start_progress"] < 0:
        raise ValueError("its schedule has negative steps")
    if state["total"] and not state["cooldown_start"] < state["total"] <= max(state["planned"], 1):
        raise ValueError("its schedule ends before it begins")


class PlateauSchedule(nn.Module):
    """Progress of a training through its schedule, and where it ends. Kept in checkpoints.

    Plain numbers, so that asking costs a GPU nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.planned = 0
        self.start_progress = 0.0
        """Fraction of the schedule that lay behind the training when it began: a carried-over prior's own progress."""
        self.reset()

    def reset(self) -> None:
        """No early end is scheduled and the loss history is empty."""
        self.cooldown_start, self.total = 0, 0
        self.loss_count, self.mean_before = 0, inf
        self.loss_sum: Float[Tensor, ""] | float = 0.0

    def plan(self, steps: int) -> None:
        """Make the schedule one of `steps` steps; an early end of a schedule of another length is forgotten."""
        if steps != self.planned:
            self.reset()
        self.planned = steps

    def get_extra_state(self) -> dict[str, Any]:
        return {name: kind(getattr(self, name)) for name, kind in KEPT.items()}

    def set_extra_state(self, state: Any) -> None:
        check_state(state)
        for name, kind in KEPT.items():
            setattr(self, name, kind(state[name]))

    @property
    def total_steps(self) -> int:
        """Number of steps that the training has, as planned or with an early end."""
        return self.total or self.planned

    def progress(self, step: int) -> float:
        """Fraction of the schedule that lies before `step`."""
        if not self.total or step <= self.cooldown_start:
            return self.start_progress + step / self.planned
        left = (self.total - step) / (self.total - self.cooldown_start)
        return self.start_progress + 1.0 - (1.0 - self.cooldown_start / self.planned) * left

    def update(self, loss: Float[Tensor, ""], step: int, rule: PlateauRule) -> bool:
        """Take note of the loss of `step`; true when this step begins the cooldown."""
        if self.total or step < ceil(rule.first * self.planned):
            return False
        self.loss_sum, self.loss_count = self.loss_sum + loss.detach(), self.loss_count + 1
        if self.loss_count < rule.window:
            return False
        before, now = self.mean_before, float(self.loss_sum) / self.loss_count
        self.loss_count, self.loss_sum, self.mean_before = 0, 0.0, now
        done = step + 1
        total = done + round(rule.cooldown * done)
        fell = now < (1.0 - rule.min_fall) * before
        if not isfinite(before) or not isfinite(now) or fell or total >= self.planned:
            return False
        self.cooldown_start, self.total = done, total
        return True
