"""Bounds of numeric options: annotated on the fields of configs, checked in one place before anything is read.

A field `lr_final: Share` carries its bounds as `annotated_types`; `check_bounds` walks a config and compares.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from baseh3d_ns.errors import InputError

Count = Annotated[int, Ge(1)]
"""A number of things that must be there."""
CountOrNone = Annotated[int, Ge(0)]
"""A number of things, where 0 leaves them out."""
Positive = Annotated[float, Gt(0.0)]
"""A length, a sharpness."""
Weight = Annotated[float, Ge(0.0)]
"""A weight of a loss, where 0 leaves it out, or a distance that may be 0."""
Fraction = Annotated[float, Ge(0.0), Le(1.0)]
"""A fraction of a whole."""
Share = Annotated[float, Gt(0.0), Le(1.0)]
"""A fraction that is not 0."""
LearningRate = Annotated[float, Gt(0.0), Le(1.0)]
"""A learning rate of Adam, so about the largest change of a number in a step."""
SignedFraction = Annotated[float, Ge(-1.0), Le(1.0)]
"""A cosine, a correlation, a signed distance in units of the unit ball."""
AtLeastOne = Annotated[float, Ge(1.0)]
"""A factor that makes something smaller."""
HeightMm = Annotated[float, Ge(-1000.0), Le(1000.0)]
"""A height on a head, in millimetres."""
FEWEST_CELLS, MOST_CELLS = 4, 512
GridCells = Annotated[int, Ge(FEWEST_CELLS), Le(MOST_CELLS)]
"""Cells of a grid along an axis: more do not fit in memory."""
Pixels = Annotated[int, Ge(16), Le(1 << 14)]
"""Width or height of a picture."""
TextureSize = Annotated[int, Ge(256), Le(1 << 12)]
"""Width and height of a texture in texels: fewer hold no charts, more need many GB of memory."""
Faces = Annotated[int, Ge(500)]
"""Triangles of a decimated head: fewer are none any more."""
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""A seed, as NumPy takes them."""

Bound = Gt | Ge | Lt | Le
Number = int | float
Found = tuple[tuple[str, ...], Number | Path, tuple[Bound, ...]]
"""Names of the fields and keys that lead to a number (or a path), the number, its bounds."""
LONGEST_NAME = 255
"""Bytes of a file's name, at most, on every usual file system."""
INHERITED: dict[str, Any] = {
    "steps_per_save": Count,
    "steps_per_eval_batch": Count,
    "steps_per_eval_image": Count,
    "steps_per_eval_all_images": Count,
    "max_num_iterations": Count,
    "load_step": CountOrNone,
    "gradient_accumulation_steps": Count,
    "camera_res_scale_factor": Share,
    "lr": LearningRate,
    "eps": Positive,
    "max_norm": Positive,
    "weight_decay": Weight,
    "seed": Seed,
    "num_devices": Count,
    "num_machines": Count,
    "machine_rank": CountOrNone,
    "steps_per_log": Count,
    "max_buffer_size": Count,
    "max_log_size": CountOrNone,
    "num_rays_per_chunk": Count,
    "eval_num_rays_per_chunk": Count,
    "max_num_display_images": Annotated[int, Ge(-1)],
    "websocket_port": Annotated[int, Ge(0), Lt(2**16)],
    "websocket_port_default": Annotated[int, Ge(0), Lt(2**16)],
    "jpeg_quality": Annotated[int, Ge(1), Le(100)],
    "camera_frustum_scale": Positive,
}
"""Bounds of nerfstudio's own options, by their fields' names: its configs have no annotations."""


def check_bounds(config: Any) -> None:
    """Raise `InputError` for the first number of a config that is not finite or lies out of its field's bounds.

    Paths have bounds, too: those of every file system.

    Args:
        config: a dataclass, with others and dictionaries of them in its fields; bounds of a tuple hold for its members.
    """
    for found in _values_of(config, ()):
        _check(found)


def check_option(owner: Any, name: str, value: Any, path: str) -> None:
    """Raise `InputError` for a value that a field of a config may not have.

    Args:
        owner: the config, or a dictionary of options.
        name: the field or the key.
        value: number or numbers; anything else has no bounds.
        path: the whole name of the option, for messages.
    """
    kind: Any = type(owner)
    own = bounds_of_fields(kind)[name] if dataclasses.is_dataclass(owner) else ()
    for found in _values_in(value, tuple(path.split(".")), own):
        _check(found)


def _check(found: Found) -> None:
    path, value, bounds = found
    option = "--" + ".".join(path).replace("_", "-")
    if isinstance(value, Path):
        if any(len(os.fsencode(name)) > LONGEST_NAME or "\0" in name for name in value.parts):
            raise InputError(
                f"{option} {str(value)[:60]!r} is longer than a file system can name, or holds a null: give names of "
                f"at most {LONGEST_NAME} bytes"
            )
        return
    if not math.isfinite(value):
        raise InputError(f"{option} {value} is no finite number: give one{_in_words(bounds, ' that is ')}")
    if not all(_holds(bound, value) for bound in bounds):
        raise InputError(f"{option} {value} is out of range: give a number that is {_in_words(bounds)}")


def numbers(config: Any) -> Iterator[Found]:
    """Every number in a config, with those of the dataclasses, dictionaries and tuples in its fields."""
    return (found for found in _values_of(config, ()) if not isinstance(found[1], Path))


def _values_of(config: Any, path: tuple[str, ...]) -> Iterator[Found]:
    """Every number and path in a config."""
    kind: Any = type(config)
    bounds = bounds_of_fields(kind)
    for field in dataclasses.fields(config):
        yield from _values_in(getattr(config, field.name), (*path, field.name), bounds[field.name])


@cache
def bounds_of_fields(cls: type) -> dict[str, tuple[Bound, ...]]:
    """Bounds of every field of a dataclass; none for a field that has no numbers or any number."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.name: _annotated(hints[field.name]) or _annotated(INHERITED.get(field.name))
        for field in dataclasses.fields(cls)
    }


def _values_in(value: Any, path: tuple[str, ...], bounds: tuple[Bound, ...]) -> Iterator[Found]:
    if isinstance(value, bool | type):
        return
    if isinstance(value, int | float | Path):
        yield path, value, bounds
    elif dataclasses.is_dataclass(value):
        yield from _values_of(value, path)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _values_in(part, (*path, str(key)), bounds)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _values_in(part, path, bounds)


def _annotated(hint: Any) -> tuple[Bound, ...]:
    """Bounds anywhere in a type, also within unions and tuples."""
    own = [bound for bound in getattr(hint, "__metadata__", ()) if isinstance(bound, Bound)]
    below = [bound for part in get_args(hint) for bound in _annotated(part)]
    return tuple(dict.fromkeys([*own, *below]))


def _holds(bound: Any, value: Any) -> bool:
    """Whether a number lies within one bound."""
    match bound:
        case Gt(limit):
            return value > limit
        case Ge(limit):
            return value >= limit
        case Lt(limit):
            return value < limit
        case Le(limit):
            return value <= limit
    raise TypeError(f"{bound} is no bound")


_WORDS = {Gt: ("above", "gt"), Ge: ("at least", "ge"), Lt: ("below", "lt"), Le: ("at most", "le")}


def _in_words(bounds: tuple[Bound, ...], before: str = "") -> str:
    """`above 0 and at most 1`; nothing where there are no bounds."""
    said = [f"{words} {getattr(bound, name):g}" for bound in bounds for words, name in (_WORDS[type(bound)],)]
    return before + " and ".join(said) if said else ""
