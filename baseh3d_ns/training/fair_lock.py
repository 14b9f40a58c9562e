"""A lock that threads get in the order in which they asked for it."""

from __future__ import annotations

from threading import Lock
from types import TracebackType


class FairLock:
    """A lock in place of nerfstudio's, which the training loop takes again the moment it has left it: buttons and
    pictures of the viewer would wait for many steps. Here the next in turn holds the turnstile, where others queue."""

    def __init__(self) -> None:
        self._turnstile, self._lock = Lock(), Lock()

    def __enter__(self) -> None:
        with self._turnstile:
            self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
