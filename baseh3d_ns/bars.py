"""Progress bars for work that a person waits for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

DELAY_S = 2.0
"""Time after which a bar appears."""


def progress_bar(iterable: Iterable[Any] | None = None, shown: bool = True, **options: Any) -> Any:
    """A bar that appears after two seconds, leaves nothing behind, and is not written into log files."""
    return tqdm(iterable, delay=DELAY_S, leave=False, disable=None if shown else True, **options)
