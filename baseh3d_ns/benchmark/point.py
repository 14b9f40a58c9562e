"""A score of a training on its way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """Errors after a step: rigid, ground truth to surface, in mm."""

    step: int
    seconds: float
    """Training time, without the scoring itself."""
    face_mm: float
    head_mm: float
