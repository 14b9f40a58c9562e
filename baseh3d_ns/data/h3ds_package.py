"""The `h3ds` package, imported where its side effects stay its own.

Import it from here only. It makes its own logger class the default of the whole process, which would turn every later
library's log messages into coloured output; and it calls `np.int`, which NumPy dropped in 1.24 (see `numpy_int`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_logger_class = logging.getLoggerClass()
try:
    from h3ds.dataset import H3DS, ConfigsHelper, H3DSHelper
    from h3ds.mesh import Mesh
finally:
    logging.setLoggerClass(_logger_class)

__all__ = ["H3DS", "ConfigsHelper", "H3DSHelper", "Mesh", "numpy_int", "quiet"]


@contextmanager
def numpy_int() -> Iterator[None]:
    """Give NumPy back its `np.int` while h3ds 0.4.0 reads regions; taken away again afterwards."""
    # Not hasattr: NumPy answers for removed names with an error of its own.
    if "int" in vars(np):
        yield
        return
    setattr(np, "int", int)  # noqa: B010 (mypy knows that NumPy has none)
    try:
        yield
    finally:
        delattr(np, "int")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence h3ds' own warnings, for where they do not hold for us."""
    logger = logging.getLogger("h3ds")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
