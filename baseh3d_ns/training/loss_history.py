"""Losses of a training so far, thinned out so that any number of steps fits."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

MOST = 2048
"""Losses that are kept at most."""


class LossHistory:
    """Loss of every n-th step; n doubles whenever there are too many. Noting one costs a GPU nothing."""

    def __init__(self) -> None:
        self.every = 1
        self._noted: list[tuple[int, Float[Tensor, ""]]] = []

    def note(self, step: int, loss: Float[Tensor, ""]) -> None:
        """Keep the loss of a step, if it is due."""
        if step % self.every:
            return
        self._noted.append((step, loss.detach()))
        if len(self._noted) > MOST:
            self.every *= 2
            self._noted = [(step, loss) for step, loss in self._noted if not step % self.every]

    def curve(self) -> tuple[list[int], list[float]]:
        """Steps and their losses."""
        noted = list(self._noted)
        return [step for step, _ in noted], [float(loss) for _, loss in noted]
