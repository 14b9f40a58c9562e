"""Denormal numbers, which slow trained networks down on CPUs."""

from __future__ import annotations

import numpy as np
import torch


def flush_denormals() -> None:
    """Have this process count numbers below 1e-38 as 0.

    A trained softplus is full of them. Threads that torch starts later do as the one that starts them, so this comes
    before any network is asked: where nerfstudio's tools enter (they all build a pipeline, once a process) and in our
    own commands; never in a network or a field.
    """
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # looked up once, now: it warns where denormals are 0
    torch.set_flush_denormal(True)
