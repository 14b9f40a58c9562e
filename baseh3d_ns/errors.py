"""Bad input: one sentence that names the file and the remedy, exit code 1, no traceback."""

from __future__ import annotations

import difflib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress


class InputError(ValueError):
    """Unusable input from the user; the message is one sentence naming the file and the remedy."""


def readable(name: str) -> str:
    """A file's name as it can be shown: bytes of it that are no UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode()


@contextmanager
def named_permissions() -> Iterator[None]:
    """Turn a file or folder that this user may not read into an `InputError` with its name; also a decorator."""
    try:
        yield
    except PermissionError as error:
        raise InputError(f"{error.filename} may not be read by you: pass a copy, or ask its owner") from error


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Turn an `InputError` into its sentence on stderr and exit code 1: the boundary of every command."""
    try:
        yield
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


@contextmanager
def ended_by_interrupt(last_words: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C into a last sentence, empty for none, on stderr and the shell's exit code for it: no traceback.

    Args:
        last_words: saves what is to be kept and returns the sentence; a second Ctrl-C does not interrupt it.
    """
    try:
        yield
    except KeyboardInterrupt:
        with _uninterrupted():
            if said := last_words():
                print(said, file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Answer Ctrl-C with a sentence; beside the main thread, which alone gets it, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(*_: object) -> None:
        # Not by print: the signal may come in the middle of one. What Ctrl-C has ended may have been read by `tee`.
        with suppress(OSError):
            os.write(2, b"Still saving what is done: a moment, please.\n")

    before = signal.signal(signal.SIGINT, wait) or signal.default_int_handler
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The `known` names most like `name`, comma separated (all of them when none is alike and they are few)."""
    names = {known_name.lower(): known_name for known_name in sorted(known)}
    close = difflib.get_close_matches(name.lower(), names, n=most, cutoff=0.4) or list(names)[:most]
    return ", ".join(names[found] for found in close)
