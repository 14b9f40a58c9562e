"""Stop when done: a fit whose loss has stopped falling ends before its last step.

The schedule (learning rate, sharpness of the mask loss) is made for a fixed number of steps and the end of it is what
makes a surface smooth, so a training does not just stop: it goes through the rest of its schedule faster.
"""

from __future__ import annotations

from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SETTLED = 0.3
"""Fraction of the training before which losses are not compared: colours, learning rate and mask loss still change."""
COOLING = 0.25
"""The rest of the schedule takes this fraction of the steps done by then."""


class EarlyEnd(nn.Module):
    """Where a training planned for a number of steps ends, and how far it has come. Kept in checkpoints."""

    cools_from: Int[Tensor, ""]
    """Step from which the rest of the schedule is hurried through; 0: none yet."""
    steps: Int[Tensor, ""]
    """Number of steps that the training then has."""
    window_sum: Float[Tensor, ""]
    """Of the losses of the present window."""
    mean_before: Float[Tensor, ""]
    """Mean loss of the window before; infinite while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cools_from", torch.zeros((), dtype=torch.long))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("window_sum", torch.zeros(()))
        self.register_buffer("mean_before", torch.full((), torch.inf))

    def forget(self) -> None:
        """The training goes on as it was planned."""
        self.cools_from.zero_()
        self.steps.zero_()

    def last(self, planned: int) -> int:
        """Number of steps of a training that was planned for `planned`."""
        return int(self.steps) or planned

    def progress(self, step: int, planned: int) -> float:
        """Fraction of the schedule that lies before `step`."""
        turn, steps = int(self.cools_from), int(self.steps)
        if not steps or step <= turn:
            return step / planned
        return 1.0 - (1.0 - turn / planned) * (steps - step) / (steps - turn)

    def see(self, loss: Float[Tensor, ""], step: int, planned: int, plateau: float, window: int) -> bool:
        """Take note of the loss of `step`; whether the training now turns to its end.

        It does once the mean loss of `window` steps is less than the fraction `plateau` below that of the `window`
        before.
        """
        settled = step - ceil(SETTLED * planned)
        if self.steps or settled < 0:
            return False
        self.window_sum += loss.detach()
        if (settled + 1) % window:
            return False
        now, before = float(self.window_sum) / window, float(self.mean_before)
        self.window_sum.zero_()
        self.mean_before.fill_(now)
        done = step + 1
        cooled = done + round(COOLING * done)
        if now < (1.0 - plateau) * before or cooled >= planned:
            return False
        self.cools_from.fill_(done)
        self.steps.fill_(cooled)
        return True
