"""Kinds of error of a capture, by name: the command line has to know them before anything is computed."""

from __future__ import annotations

from typing import Literal, get_args

NoisePart = Literal["pose", "focal", "exposure", "white", "sensor", "light", "mask"]
"""Kind of error of a capture: pose and focal length of the camera, exposure, white balance, sensor noise, light that
turns with the camera, border of the mask."""
NOISE_PARTS: tuple[NoisePart, ...] = get_args(NoisePart)
