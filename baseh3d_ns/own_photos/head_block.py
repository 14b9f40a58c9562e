"""The block "head" of a `transforms.json`, by which `baseh3d capture` hands over the head's frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.shots import Cut, GivenFrame, is_number, positive

VERSION = 1
REMEDY = "run `baseh3d capture` again, or take the block out"


def read_head_block(path: Path, block: object) -> GivenFrame:
    """Parts of the frame that the block holds; none where it is None.

    Raises:
        InputError: it is of another version, or a part is not as it should be.
    """
    if block is None:
        return GivenFrame()
    if not isinstance(block, Mapping) or block.get("version") != VERSION:
        raise InputError(f'{path} has a block "head" of another version than {VERSION}: {REMEDY}')
    return GivenFrame(
        ball=_ball(path, block),
        up=_direction(path, block, "up"),
        ahead=_direction(path, block, "ahead"),
        ears=_vector(path, block, "ears"),
        mm_per_unit=_positive(path, block, "mm_per_unit"),
        scale_source=str(block.get("scale_source") or "given")[:80],
        scale_uncertainty_percent=_positive(path, block, "scale_uncertainty_percent", least=0.0) or 0.0,
        cut=_cut(path, block),
        cut_decided="cut" in block,
    )


def _ball(path: Path, block: Mapping[str, Any]) -> tuple[Float[np.ndarray, " 3"], float] | None:
    centre, radius = _vector(path, block, "centre"), _positive(path, block, "radius")
    return None if centre is None or radius is None else (centre, radius)


def _positive(path: Path, block: Mapping[str, Any], key: str, least: float | None = None) -> float | None:
    value = block.get(key)
    if value is None:
        return None
    if not positive(value) and not (is_number(value) and value == least):
        raise InputError(f'{path}: "{key}" of its block "head" is no number above 0: {REMEDY}')
    return float(value)


def _vector(path: Path, block: Mapping[str, Any], key: str) -> Float[np.ndarray, " 3"] | None:
    value = block.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or not all(is_number(one) for one in value):
        raise InputError(f'{path}: "{key}" of its block "head" is no list of three finite numbers: {REMEDY}')
    return np.array(value, dtype=np.float64)


def _direction(path: Path, block: Mapping[str, Any], key: str) -> Float[np.ndarray, " 3"] | None:
    vector = _vector(path, block, key)
    if vector is None:
        return None
    length = float(np.linalg.norm(vector))
    if not 1e-6 < length < 1e6:
        raise InputError(f'{path}: "{key}" of its block "head" is no direction: {REMEDY}')
    return vector / length


def _cut(path: Path, block: Mapping[str, Any]) -> Cut | None:
    cut = block.get("cut")
    if cut is None:
        return None
    if not isinstance(cut, Mapping):
        raise InputError(f'{path}: "cut" of its block "head" is no point and normal: {REMEDY}')
    point, normal = _vector(path, cut, "point"), _direction(path, cut, "normal")
    if point is None or normal is None:
        raise InputError(f'{path}: "cut" of its block "head" lacks its point or normal: {REMEDY}')
    return Cut(point, normal)
