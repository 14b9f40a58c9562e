"""`inspect.stack` without lines of source, for a whole process.

nerfstudio asks for it at its import, for every external method it knows of; to look for the sources of the import
system's frames each time takes seconds.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType


def cheap_stack(context: int = 1) -> list[inspect.FrameInfo]:
    """Frames of the caller and its callers, as `inspect.stack` lists them."""
    frame: FrameType | None = sys._getframe(1)
    found = []
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


inspect.stack = cheap_stack
