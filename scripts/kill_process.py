"""Processes for `kill_table.py`: forks with a log, and a process that dies within a write of a file."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch


def forked(work: Callable[[], object], log: Path) -> int:
    """Start a process that does some work, its output in a log; its id."""
    log.parent.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process:
        return process
    with log.open("wb") as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        os._exit(0)


def note(log: Path, line: str) -> None:
    """Add a line to a log, at once and whole."""
    descriptor = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def die_in_write(log: Path, number: int, part: float) -> None:
    """From now on count the writes of files in a log, and die in the one of that number with a part of it written."""
    done = 0

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            note(log, write.__name__)
            if done == number and write is replace and part < 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
            result = write(*arguments, **options)
            if done == number:
                if write is not replace:
                    os.truncate(arguments[1], int(part * Path(arguments[1]).stat().st_size))
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return dying

    replace = os.replace
    for owner, name in ((os, "replace"), (torch, "save"), (safetensors.torch, "save_file")):
        setattr(owner, name, counted(getattr(owner, name)))


def opens(read: Callable[[], object]) -> bool:
    """Whether everything can be read."""
    try:
        read()
    except Exception as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return False
    return True


def timed(work: Callable[[], object], log: Path) -> float:
    """Do some work in a process of its own; the seconds it took."""
    begin = time.monotonic()
    os.waitpid(forked(work, log), 0)
    return time.monotonic() - begin
