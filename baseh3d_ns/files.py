"""Files that are whole or not there, folders that can be written to."""

from __future__ import annotations

import os
from pathlib import Path

from baseh3d_ns.errors import InputError


def write_atomically(file: Path, text: str) -> None:
    """Write a text file beside its place and move it there.

    Raises:
        InputError: the disk is full or not writable; what was there is intact.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, file)
    except OSError as error:
        raise InputError(
            f"{file} cannot be written ({error.strerror}): free some space or choose another folder"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Make a folder, if need be.

    Raises:
        InputError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --output-dir") from error
