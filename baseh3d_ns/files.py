"""Files and folders that are whole or not there: the package's only temp-and-rename."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from baseh3d_ns.errors import InputError

FULL_BELOW_BYTES = 1 << 20
"""A disk with less free space than this is taken for full."""
LOCK = "baseh3d_ns.lock"
"""File in a folder of something unfinished, locked by the process that writes there."""
LONGEST_PREFIX = 80
"""Letters of a file's name in that of its hidden folder: file systems take 255 at most."""
LIBRARY_CACHES = {"WARP_CACHE_PATH": "warp", "ANNY_CACHE_DIR": "anny"}
"""Environment variables of libraries' caches, and the names of these in `~/.cache`."""
RUN_TIME = re.compile(r"(\d{4}-\d\d-\d\d_\d{6})(-\d+)?")
"""nerfstudio's name of a run's folder: the time to the second; with the number of `make_run_folder` behind it."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
"""Errors of a disk, not of what is written to it."""


@contextmanager
def whole_file(path: Path, hidden_in: Path | None = None) -> Iterator[Path]:
    """Context that yields an unfinished path with the same suffix, which replaces `path` when the block ends well.

    Missing parent folders are made. After an exception or a kill, a file that stood at `path` is intact; after an
    exception nothing unfinished is left either, after a kill until the next file is written there.

    Args:
        path: file to write.
        hidden_in: folder on the same disk in which the unfinished file is hidden; by default that of `path`.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    with _hidden(Path(path), hidden_in) as unfinished:
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
    with _hidden(Path(path)) as unfinished:
        unfinished.mkdir()
        yield unfinished
        os.rename(unfinished, path)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file as a `whole_file`."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def remove_left_by_kills(folder: Path) -> None:
    """Remove what killed processes have left unfinished in a folder; what is being written stays."""
    for lock in folder.glob(f".*.tmp/{LOCK}"):
        with suppress(Timeout, OSError, NotImplementedError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent, ignore_errors=True)


def make_run_folder(folder: Path) -> Path:
    """The folder of a run, made now; where its name is a time and another run has it, -2, -3 ... is put behind.

    Raises:
        InputError: nothing can be written there, or the disk is full.
    """
    chosen, number, timed = folder, 1, RUN_TIME.fullmatch(folder.name)
    while timed:
        check_writable(folder.parent)
        try:
            chosen.mkdir()  # of two processes, only one can
            break
        except FileExistsError:
            number += 1
            chosen = folder.with_name(f"{timed[1]}-{number}")
    check_writable(chosen)
    return chosen


def check_writable(folder: Path, remedy: str = "choose another --output-dir") -> None:
    """Make a folder, if need be.

    Args:
        remedy: end of the sentence.

    Raises:
        InputError: nothing can be written there, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
        if shutil.disk_usage(folder).free < FULL_BELOW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): {remedy}") from error


def check_folder_of(path: Path) -> None:
    """Raise `InputError` where this user can neither write a file to a path nor make the folders that it lacks."""
    # Not Path.exists, which raises for a folder that may not be entered.
    existing = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: {existing} is no folder you may write to; choose another")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Context of a new folder in the system's temporary one, gone afterwards.

    Raises:
        InputError: nothing can be written there, or its disk, which need not be that of the results, is full.
    """
    made = ""
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made, _full_disk_as_os_error(Path(made)):
            yield Path(made)
    except OSError as error:
        if made and error.errno not in DISK_ERRORS:
            raise
        place = Path(made).parent if made else "the temporary folder"
        remedy = "free some space there, or set TMPDIR to another folder"
        raise InputError(f"{place} cannot be written to ({error.strerror or error}): {remedy}") from error


@contextmanager
def named_disk_errors(path: Path) -> Iterator[None]:
    """Context in which an error of the disk that `path` is written to becomes an `InputError` that names its folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise _cannot_be_written(path, error) from error


def cache_folder(name: str, otherwise: Path, holds: Sequence[str] = ()) -> Path:
    """The user's cache folder NAME (`~/.cache/NAME` on Linux) where it can be written to, or holds all of some files
    (paths within it), else `otherwise`.

    Nothing is made.
    """
    with suppress(RuntimeError, OSError):
        usual = user_cache_path(name, appauthor=False)
        if _could_be_made(usual) or (holds and all((usual / file).is_file() for file in holds)):
            return usual
    return otherwise


def move_library_caches() -> None:
    """Have libraries that insist on a cache in the user's home use the temporary folder where there is no such home.

    Call it before their import: they read their environment variables once.
    """
    for variable, name in LIBRARY_CACHES.items():
        elsewhere = Path(tempfile.gettempdir()) / "baseh3d_ns" / name
        if variable not in os.environ and cache_folder(name, elsewhere) == elsewhere:
            os.environ[variable] = str(elsewhere)


def _could_be_made(folder: Path) -> bool:
    """Whether this user may write to a folder, or make it."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _umask() -> int:
    """Permissions that the user's new files do not get."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextmanager
def _hidden(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """A path in a hidden folder within `folder`, or beside `path`; gone with what it holds afterwards."""
    folder = folder or path.parent
    try:
        for needed in (folder, path.parent):
            needed.mkdir(parents=True, exist_ok=True)
        remove_left_by_kills(folder)
        with (
            tempfile.TemporaryDirectory(
                prefix=f".{path.name[:LONGEST_PREFIX]}.", suffix=".tmp", dir=folder, ignore_cleanup_errors=True
            ) as hidden,
            _locked(Path(hidden) / LOCK),
            _full_disk_as_os_error(Path(hidden)),
        ):
            # Not named like `path`: after a kill, a search for such files must not find it.
            yield Path(hidden) / f"unfinished{path.suffix}"
    except OSError as error:
        raise _cannot_be_written(path, error) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Context in which a file is locked, on file systems that have locks; the system takes it off a killed process."""
    lock = FileLock(path, timeout=0)
    with suppress(NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _cannot_be_written(path: Path, error: OSError) -> InputError:
    remedies = {errno.ENAMETOOLONG: "choose a shorter name"} | dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), f"free some space in {path.parent}, or choose another folder"
    )
    remedy = remedies.get(error.errno or 0, "choose another folder")
    return InputError(f"{path} cannot be written ({error.strerror or error}): {remedy}")


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
