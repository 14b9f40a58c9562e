"""A file or folder is whole or not there, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from baseh3d_ns.errors import InputError
from baseh3d_ns.files import whole_file, whole_folder, write_text

Whole = Callable[[Path], AbstractContextManager[Path]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole_in_a_folder_that_was_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "nested" / "head.npz"
    with whole_file(path) as unfinished:
        assert unfinished.suffix == ".npz" and unfinished.parent.parent == path.parent
        unfinished.write_bytes(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one" and names(path.parent) == ["head.npz"]
    write_text(path, "zwei ü")
    assert path.read_text(encoding="utf-8") == "zwei ü" and names(path.parent) == ["head.npz"]


def test_a_folder_appears_when_it_is_whole_and_replaces_none_that_holds_something(tmp_path: Path) -> None:
    path = tmp_path / "nested" / "set"
    with whole_folder(path) as unfinished:
        (unfinished / "a.txt").write_text("a")
        assert not path.exists()
    assert names(path) == ["a.txt"] and names(path.parent) == ["set"]
    with pytest.raises(InputError, match="set cannot be written"), whole_folder(path) as unfinished:
        (unfinished / "b.txt").write_text("b")
    assert names(path) == ["a.txt"] and names(path.parent) == ["set"]
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as unfinished:
        (unfinished / "b.txt").write_text("b")
    assert names(tmp_path / "empty") == ["b.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_exception_leaves_what_was_there_and_is_passed_on(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "head.txt"
    path.write_text("old")
    with pytest.raises(type(error)), whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise error
    with pytest.raises(type(error)), whole_folder(tmp_path / "set") as unfinished:
        (unfinished / "half.txt").write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["head.txt"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_one_sentence_that_names_the_folder(tmp_path: Path, whole: Whole) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old").write_text("old")
    with pytest.raises(InputError) as caught, whole(tmp_path / "data" / "new"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    message = str(caught.value)
    assert str(tmp_path / "data") in message and "No space left" in message and "\n" not in message
    assert names(tmp_path / "data") == ["old"]


def test_a_full_disk_is_recognised_behind_another_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch raises RuntimeError, safetensors an error of its own; with space left it is not the disk."""
    path = tmp_path / "head.ckpt"
    with pytest.raises(RuntimeError), whole_file(path):
        raise RuntimeError("unexpected pos 64 vs 0")
    with pytest.raises(InputError, match="No space left"), whole_file(path):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(InputError, match="No space left"), whole_file(path):
        raise RuntimeError("unexpected pos 64 vs 0")
    assert names(tmp_path) == []


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path: Path, whole: Whole) -> None:
    # A file where the folder should be: fails for root too, unlike missing rights.
    (tmp_path / "file").write_text("old")
    with (
        pytest.raises(InputError, match="file/inner/new cannot be written"),
        whole(tmp_path / "file" / "inner" / "new"),
    ):
        pytest.fail("there is nothing to write to")
    assert names(tmp_path) == ["file"]


def test_a_kill_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "prior-1.safetensors"
    path.write_text("old")
    script = (
        "import sys, time, pathlib; from baseh3d_ns.files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as unfinished:\n"
        "    unfinished.write_text('half'); print('written', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text() == "old"
    # A run that goes on looks for its files by their names.
    assert list(tmp_path.rglob("prior-*.safetensors")) == [path]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_file_gets_the_permissions_of_any_other(tmp_path):
    """safetensors writes files that only their owner may read."""
    (tmp_path / "other").touch()
    with whole_file(tmp_path / "mine") as unfinished:
        unfinished.touch(mode=0o600)
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "other").stat().st_mode
