"""Stop when done: a fit whose loss has stopped falling ends before its last step.

The schedule (learning rate, sharpness of the mask loss) is made for a fixed number of steps and the end of it is what
makes a surface smooth, so a training does not just stop: it goes through the rest of its schedule faster.
"""

from __future__ import annotations

from math import ceil, inf, isfinite
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

SETTLED = 0.3
"""Fraction of the training before which losses are not compared, however early everything learns."""
COOLING = 0.25
"""The rest of the schedule takes this fraction of the steps done by then."""


class EarlyEnd(nn.Module):
    """Where a training planned for a number of steps ends, and how far it has come. Kept in checkpoints.

    Plain numbers, so that asking costs a GPU nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """The training goes on as it was planned, and nothing is known of its losses."""
        self.planned, self.turn, self.steps = 0, 0, 0
        self.losses, self.mean_before = 0, inf
        self.loss_sum: Float[Tensor, ""] | float = 0.0

    def get_extra_state(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in ("planned", "turn", "steps", "losses", "mean_before")}
        return {**kept, "loss_sum": float(self.loss_sum)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def last(self, planned: int) -> int:
        """Number of steps of a training that is planned for `planned`."""
        return self.steps if self.planned == planned else planned

    def progress(self, step: int, planned: int) -> float:
        """Fraction of the schedule that lies before `step`."""
        if self.planned != planned or step <= self.turn:
            return step / planned
        return 1.0 - (1.0 - self.turn / planned) * (self.steps - step) / (self.steps - self.turn)

    def see(
        self, loss: Float[Tensor, ""], step: int, planned: int, plateau: float, window: int, settled: float = SETTLED
    ) -> bool:
        """Take note of the loss of `step`; whether the training now turns to its end.

        It does once the mean loss of `window` steps is less than the fraction `plateau` below that of the `window`
        before, and not before the fraction `settled` of the training.
        """
        if self.planned == planned or step < ceil(settled * planned):
            return False
        self.loss_sum, self.losses = self.loss_sum + loss.detach(), self.losses + 1
        if self.losses < window:
            return False
        before, now = self.mean_before, float(self.loss_sum) / self.losses
        self.losses, self.loss_sum, self.mean_before = 0, 0.0, now
        done = step + 1
        cooled = done + round(COOLING * done)
        if not isfinite(before) or not isfinite(now) or now < (1.0 - plateau) * before or cooled >= planned:
            return False
        self.planned, self.turn, self.steps = planned, done, cooled
        return True
