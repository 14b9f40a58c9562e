"""Progress of a training through its schedule (learning rates, sharpness of the mask loss, levels of detail)."""

from __future__ import annotations

from math import isfinite
from typing import Any

from torch import nn


class Schedule(nn.Module):
    """Fraction of a training's schedule that lies before each of its steps. Kept in checkpoints.

    Plain numbers, so that asking costs a GPU nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.planned = 0
        """Number of steps."""
        self.start_progress = 0.0
        """Fraction of the schedule that lay behind the training when it began: a carried-over prior's own progress."""

    def progress(self, step: int) -> float:
        """Fraction of the schedule that lies before `step`."""
        return self.start_progress + step / self.planned

    def get_extra_state(self) -> dict[str, Any]:
        return {"planned": self.planned, "start_progress": self.start_progress}

    def set_extra_state(self, state: Any) -> None:
        """Take a checkpoint's numbers, and nothing else of it.

        Raises:
            ValueError: it holds other names, or numbers that a schedule cannot have.
        """
        if not isinstance(state, dict) or set(state) != set(self.get_extra_state()):
            raise ValueError("its schedule is damaged")
        planned, start = state["planned"], state["start_progress"]
        if not isinstance(planned, int) or isinstance(planned, bool) or planned < 0:
            raise ValueError(f"'planned' of its schedule is {str(planned)[:40]}")
        if not isinstance(start, int | float) or isinstance(start, bool) or not start >= 0.0 or not isfinite(start):
            raise ValueError(f"'start_progress' of its schedule is {str(start)[:40]}")
        self.planned, self.start_progress = planned, float(start)
