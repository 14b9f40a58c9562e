"""Ctrl-C in a training: what has been learned is kept, and nobody reads a traceback."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import COARSE, QUICK_START, SMALL, configured

from baseh3d_ns import cli
from baseh3d_ns.errors import ended_by_interrupt
from baseh3d_ns.heads.readers import newest_checkpoint, open_head, step_of

INTERRUPTED = 130
"""Exit code of a process that Ctrl-C ended, in every shell."""


def ctrl_c(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def trainer_of(root: Path, out: Path, *options: object, method: str = "baseh3d-fast-prior") -> Any:
    config = configured(method, root, out, *SMALL, *COARSE, *options)
    config.save_config()
    return config.setup(local_rank=0, world_size=1)


def interrupted(run: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == INTERRUPTED


def test_ctrl_c_keeps_the_steps_that_are_done_and_they_are_gone_on_from(tiny_root, tmp_path, monkeypatch, capsys):
    trainer = trainer_of(tiny_root, tmp_path / "first", "--epochs", 3)
    trainer.setup()
    step = trainer.train_iteration
    monkeypatch.setattr(trainer, "train_iteration", lambda at: ctrl_c() if at == 4 else step(at))
    interrupted(trainer.train)
    assert step_of(newest_checkpoint(trainer.checkpoint_dir)) == 3
    assert open_head(trainer.base_dir).provenance["steps"] == 4
    said = capsys.readouterr()
    assert "4 steps" in said.out and "by hand" in said.out and "go on from step 4" in said.out
    assert "Traceback" not in said.out + said.err
    again = trainer_of(tiny_root, tmp_path / "again", "--epochs", 3, "--load-dir", trainer.checkpoint_dir)
    again.setup()
    again.train()
    assert again.steps_done == 9


def test_ctrl_c_while_the_colours_are_finished_leaves_a_fit_that_can_finish_them(tiny_root, tmp_path, monkeypatch):
    options = [*QUICK_START, "--epochs", 1]
    trainer = trainer_of(tiny_root, tmp_path / "first", *options, method="baseh3d-fast")
    trainer.setup()
    monkeypatch.setattr(trainer, "finish", ctrl_c)
    interrupted(trainer.train)
    assert "colours are not finished" in open_head(trainer.base_dir).doubts[-1]
    options += ["--load-dir", trainer.checkpoint_dir]
    again = trainer_of(tiny_root, tmp_path / "again", *options, method="baseh3d-fast")
    again.setup()
    again.train()
    assert not any("colours" in doubt for doubt in open_head(again.base_dir).doubts)


def test_ctrl_c_before_the_first_step_says_that_nothing_is_saved(tiny_root, tmp_path, monkeypatch, capsys):
    trainer = trainer_of(tiny_root, tmp_path, "--epochs", 1)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "setup_optimizers", ctrl_c)
        interrupted(trainer.setup)
    assert "nothing new was saved" in capsys.readouterr().err
    trainer.setup()
    monkeypatch.setattr(trainer, "train_iteration", ctrl_c)
    interrupted(trainer.train)
    assert "nothing new was saved" in capsys.readouterr().err and not list(trainer.base_dir.rglob("*.ckpt"))


def test_ctrl_c_after_the_end_closes_the_viewer_and_writes_nothing(tiny_root, tmp_path, monkeypatch, capsys):
    trainer = trainer_of(tiny_root, tmp_path, "--epochs", 1)
    trainer.setup()
    monkeypatch.setattr(trainer, "_train_complete_viewer", ctrl_c)
    interrupted(trainer.train)
    (checkpoint,) = trainer.base_dir.rglob("*.ckpt")
    assert step_of(checkpoint) == trainer.total_steps - 1
    said = capsys.readouterr()
    assert said.out.count("as planned") == 1 and not said.err.strip()


def test_ctrl_c_in_the_middle_of_the_last_checkpoint_writes_it_again(tiny_root, tmp_path, monkeypatch):
    """nerfstudio calls a training completed before it saves it."""
    trainer = trainer_of(tiny_root, tmp_path, "--epochs", 1)
    trainer.setup()
    save, calls = torch.save, []
    monkeypatch.setattr(torch, "save", lambda *given: save(*given) if calls else ctrl_c(calls.append(1)))
    interrupted(trainer.train)
    assert step_of(newest_checkpoint(trainer.checkpoint_dir)) == trainer.total_steps - 1


def test_a_second_ctrl_c_does_not_interrupt_the_saving(capfd):
    saved, before = [], signal.getsignal(signal.SIGINT)

    def save() -> str:
        signal.raise_signal(signal.SIGINT)
        saved.append(True)
        return "saved"

    def stop() -> None:
        with ended_by_interrupt(save):
            raise KeyboardInterrupt

    interrupted(stop)
    assert saved and signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr().err == "Still saving what is done: a moment, please.\nsaved\n"


def test_nobody_needs_to_read_that_it_is_saving(monkeypatch):
    """Ctrl-C ends the `tee` behind a pipe as well."""

    def closed(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("baseh3d_ns.errors.os.write", closed)
    saved = []

    def save() -> str:
        signal.raise_signal(signal.SIGINT)
        saved.append(True)
        return ""

    with pytest.raises(SystemExit), ended_by_interrupt(save):
        raise KeyboardInterrupt
    assert saved


def test_an_end_without_an_interrupt_says_nothing(capsys):
    with ended_by_interrupt(lambda: "interrupted"):
        pass
    with pytest.raises(ValueError, match="else"), ended_by_interrupt(lambda: "interrupted"):
        raise ValueError("something else")
    assert not capsys.readouterr().err


def test_a_command_that_is_interrupted_ends_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["baseh3d", "models"])
    monkeypatch.setattr(cli.Models, "main", ctrl_c)
    with pytest.raises(SystemExit, match=str(INTERRUPTED)):
        cli.entrypoint()
    assert capsys.readouterr().err == f"{cli.STOPPED}\n"
