"""Files and folders that are whole or not there: the package's only temp-and-rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baseh3d_ns.errors import InputError

FULL_BELOW_BYTES = 1 << 20
"""A disk with less free space than this is taken for full."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Context that yields an unfinished path with the same suffix, which replaces `path` when the block ends well.

    Missing parent folders are made. After an exception or a kill, a file that stood at `path` is intact; after an
    exception nothing unfinished is left either.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    with _beside(Path(path)) as unfinished:
        yield unfinished
        # safetensors writes for its owner only; the file is as readable as any other that the user writes.
        unfinished.chmod(0o666 & ~_umask())
        os.replace(unfinished, path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Context that yields an unfinished, empty folder, which becomes `path` when the block ends well.

    A folder that holds something is never replaced. For the rest see `whole_file`.

    Raises:
        InputError: the disk is full, the folder cannot be written to, or `path` holds something already.
    """
    with _beside(Path(path)) as unfinished:
        unfinished.mkdir()
        yield unfinished
        os.rename(unfinished, path)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file as a `whole_file`."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


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


def _umask() -> int:
    """Permissions that the user's new files do not get."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A path in a hidden folder beside `path`, so on the same disk; gone with what it holds afterwards."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(
                prefix=f".{path.name}.", suffix=".tmp", dir=path.parent, ignore_cleanup_errors=True
            ) as hidden,
            _full_disk_as_os_error(Path(hidden)),
        ):
            # Not named like `path`: after a kill, a search for such files must not find it.
            yield Path(hidden) / f"unfinished{path.suffix}"
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}): "
            f"free some space in {path.parent}, or choose another folder"
        ) from error


@contextmanager
def _full_disk_as_os_error(folder: Path) -> Iterator[None]:
    """One kind of error for a full disk: torch and safetensors write by themselves and raise others than `OSError`."""
    full = os.strerror(errno.ENOSPC)
    try:
        yield
    except (OSError, InputError):
        raise
    except Exception as error:
        # safetensors says so and removes its half of a file, torch does neither.
        if full not in str(error) and shutil.disk_usage(folder).free >= FULL_BELOW_BYTES:
            raise
        raise OSError(errno.ENOSPC, full) from error
