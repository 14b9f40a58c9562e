"""A file or folder is whole or not there, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from baseh3d_ns.commands.heads import Turntable
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.scan_file import read_scan
from baseh3d_ns.files import (
    LIBRARY_CACHES,
    cache_folder,
    check_writable,
    make_run_folder,
    move_library_caches,
    named_disk_errors,
    temporary_folder,
    whole_file,
    whole_folder,
    write_text,
)
from baseh3d_ns.heads.readers import find_head_file
from baseh3d_ns.mesh.files import check_mesh_path
from baseh3d_ns.own_photos.scene import read_capture

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


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("database or disk is full")]
)
def test_a_full_temporary_folder_is_not_blamed_on_the_results(tmp_path: Path, monkeypatch, error: Exception) -> None:
    """COLMAP's database lies there, whose errors are no `OSError`."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0 if place in path.parents else 1 << 40))
    said = f"^{place} cannot be written to .No space left on device.: free some space there, or set TMPDIR"
    with pytest.raises(InputError, match=said), whole_folder(tmp_path / "head"), temporary_folder() as folder:
        assert folder.parent == place and folder.is_dir()
        raise error
    assert names(tmp_path) == ["temporary"] and names(place) == []
    with pytest.raises(ValueError, match="no disk"), temporary_folder():
        monkeypatch.undo()
        raise ValueError("no disk")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="the temporary folder cannot be written to"), temporary_folder():
        pytest.fail("there is none")


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


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """As in a loop over seeds that starts all at once; a name that is no time stays."""
    names = [make_run_folder(tmp_path / "run" / "2026-11-28_091934").name for _ in range(3)]
    assert names == ["2026-11-28_091934", "2026-11-28_091934-2", "2026-11-28_091934-3"]
    assert make_run_folder(tmp_path / "run" / names[1]).name == "2026-11-28_091934-4"
    assert {make_run_folder(tmp_path / "run" / "t").name for _ in range(2)} == {"t"}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file .*choose another --output-dir"):
        make_run_folder(tmp_path / "file")


@contextmanager
def not_to_be_entered(folder: Path) -> Iterator[None]:
    """Context in which this process may not enter a folder, for root as another user."""
    root = os.geteuid() == 0
    folder.chmod(0)
    if root:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)
        folder.chmod(0o700)


@pytest.mark.parametrize("name", ["head.ply", "new/head.ply", "head.obj", "head.mp4"])
def test_an_output_in_a_folder_that_may_not_be_entered_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with not_to_be_entered(tmp_path), pytest.raises(InputError, match=f"{name} cannot be written: .* no folder you"):
        if path.suffix == ".mp4":
            Turntable(load_config=Path("run"), output=path).main()
        else:
            check_mesh_path(path, textured=True)


@pytest.mark.parametrize("read", [open_h3ds, read_capture, find_head_file, lambda path: read_scan(path, None)])
def test_what_may_not_be_read_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    """Such as the folder that a head was trained on in another user's home."""
    closed = tmp_path / "home"
    closed.mkdir()
    with (
        not_to_be_entered(closed),
        pytest.raises(InputError, match=r"home/data\S* may not be read by you: pass a copy"),
    ):
        read(closed / "data")


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
    with whole_file(tmp_path / "other") as unfinished:
        write_text(path, "new")
        unfinished.write_text("x")
    assert path.read_text() == "new"
    # What was killed is gone with the next file, what was being written is not.
    assert names(tmp_path) == ["other", "prior-1.safetensors"]


def test_names_of_any_length_are_written_or_refused(tmp_path):
    write_text(tmp_path / f"{250 * 'a'}.txt", "long")
    assert [len(name) for name in names(tmp_path)] == [254]
    with pytest.raises(InputError, match="File name too long.: choose a shorter name"):
        write_text(tmp_path / f"{300 * 'a'}.txt", "longer")


def test_a_file_gets_the_permissions_of_any_other(tmp_path):
    """safetensors writes files that only their owner may read."""
    (tmp_path / "other").touch()
    with whole_file(tmp_path / "mine") as unfinished:
        unfinished.touch(mode=0o600)
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_an_output_folder_on_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    check_writable(tmp_path / "out")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(InputError, match=r"out \(No space left on device\).*--output-dir"):
        check_writable(tmp_path / "out")


def test_only_errors_of_the_disk_become_a_sentence(tmp_path):
    with pytest.raises(InputError, match="log cannot be written .No space left"), named_disk_errors(tmp_path / "log"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError), named_disk_errors(tmp_path / "log"):
        (tmp_path / "nowhere").read_bytes()


def test_caches_lie_elsewhere_where_the_home_cannot_be_written_to(tmp_path, monkeypatch):
    for variable in LIBRARY_CACHES:
        monkeypatch.setenv(variable, "")  # so that it is put back
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("ours", tmp_path / "other") == tmp_path / "home" / ".cache" / "ours"
    move_library_caches()
    assert not set(LIBRARY_CACHES) & set(os.environ) and names(tmp_path) == []
    (tmp_path / "home" / ".cache" / "ours").mkdir(parents=True)
    (tmp_path / "home" / ".cache" / "ours" / "model").touch()
    with monkeypatch.context() as read_only:
        read_only.setattr(os, "access", lambda *_: False)
        assert cache_folder("ours", tmp_path / "other") == tmp_path / "other"
        assert cache_folder("ours", tmp_path / "other", ["model", "another"]) == tmp_path / "other"
        assert cache_folder("ours", tmp_path / "other", ["model"]) == tmp_path / "home" / ".cache" / "ours"
    shutil.rmtree(tmp_path / "home")
    # A file where the home should be: fails for root too, unlike missing rights.
    (tmp_path / "home").write_text("no folder")
    assert cache_folder("ours", tmp_path / "other") == tmp_path / "other"
    move_library_caches()
    assert all(str(tmp_path / "home") not in os.environ[variable] for variable in LIBRARY_CACHES)
    assert names(tmp_path) == ["home"]


SMALL_DISK = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk of a few bytes")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB with an old file."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no mounting here")
    (folder / "head.bin").write_text("old")
    yield folder
    subprocess.run(["umount", folder], check=True)


@SMALL_DISK
@pytest.mark.parametrize("writer", ["torch", "safetensors", "numpy", "text"])
def test_every_writer_on_a_disk_that_is_really_full_ends_with_a_sentence(small_disk, writer):
    path, big = small_disk / "head.bin", torch.zeros(2 << 20)
    with pytest.raises(InputError, match="disk, or choose another folder"), whole_file(path) as unfinished:
        if writer == "torch":
            torch.save({"big": big}, unfinished)
        elif writer == "safetensors":
            save_file({"big": big}, unfinished)
        elif writer == "numpy":
            np.savez(unfinished.with_suffix(".npz"), big=big.numpy())
        else:
            unfinished.write_text("x" * (8 << 20))
    assert path.read_text() == "old" and names(small_disk) == ["head.bin"]
