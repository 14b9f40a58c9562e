"""Options that a training goes on by, and the run that it would replace."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from processes import COARSE, QUICK_START, SMALL, checkpoint, configured

from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.head_file import HEAD_FILE
from baseh3d_ns.training.resumption import check_no_option_is_dropped, check_no_run_is_replaced


@pytest.mark.parametrize("there", [HEAD_FILE, "prior-000006.safetensors", "nerfstudio_models/step-000000002.ckpt"])
def test_a_named_folder_that_holds_a_run_takes_no_other(there: str, tmp_path: Path):
    run = tmp_path / "mine"
    kept = run / there
    check_no_run_is_replaced(run, None)
    kept.parent.mkdir(parents=True)
    check_no_run_is_replaced(run, None)
    kept.touch()
    for resumed in (None, tmp_path / "other" / "nerfstudio_models" / "step-000000002.ckpt"):
        with pytest.raises(InputError, match="mine holds a run already .*: choose another --timestamp"):
            check_no_run_is_replaced(run, resumed)
    check_no_run_is_replaced(run, run / "nerfstudio_models" / "step-000000002.ckpt")
    for name in ("2026-11-28_091934", "2026-11-28_091934-2"):
        run = run.rename(tmp_path / name)
        check_no_run_is_replaced(run, None)


def test_a_run_goes_on_in_its_place_where_its_checkpoints_are_on_another_disk(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "step-000000002.ckpt").touch()
    (tmp_path / "mine" / "nerfstudio_models").symlink_to(tmp_path / "disk")
    check_no_run_is_replaced(tmp_path / "mine", tmp_path / "mine" / "nerfstudio_models" / "step-000000002.ckpt")


def test_a_training_replaces_no_run_but_the_one_it_goes_on_with(fit_run, tiny_root, tmp_path, capsys):
    run = tmp_path / "t" / "baseh3d-fast" / "t"
    shutil.copytree(fit_run.folder, run)
    before = (run / "config.yml").read_bytes()
    options = [*SMALL, *COARSE, *QUICK_START, "--load-prior", "builtin", "--epochs", 9]
    with pytest.raises(SystemExit):
        configured("baseh3d-fast", tiny_root, tmp_path, *options).save_config()
    assert "holds a run already" in capsys.readouterr().err and (run / "config.yml").read_bytes() == before
    again = configured("baseh3d-fast", tiny_root, tmp_path, *options, "--load-dir", run / "nerfstudio_models")
    again.save_config()
    assert again.get_base_dir() == run and (run / "config.yml").read_bytes() != before


def test_options_beside_a_config_file_are_refused(tiny_root, tmp_path, capsys, monkeypatch):
    """nerfstudio replaces them all by the file's, and trained afresh where the run was to go on."""
    words = ["ns-train", "idr", "--load-config", "config.yml", "--load_dir", "run", "--max-num-iterations=9", "--vis"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        configured("idr", tiny_root, tmp_path).save_config()
    said = capsys.readouterr().err
    assert "--load-config takes every option from its file and drops --load-dir, --max-num-iterations, --vis:" in said
    assert not list(tmp_path.iterdir())
    check_no_option_is_dropped(words[:4])
    check_no_option_is_dropped([*words[:2], *words[4:]])


@pytest.mark.parametrize("alone", [True, False])
def test_a_step_to_load_without_its_folder_is_refused(alone, fit_run, tiny_root, tmp_path):
    options = [] if alone else ["--load-checkpoint", checkpoint(fit_run)]
    config = configured("idr", tiny_root, tmp_path, *options, "--load-step", 3)
    with pytest.raises(InputError, match="--load-step 3 chooses a checkpoint of --load-dir"):
        config.check()


def test_two_checkpoints_to_go_on_from_are_refused(fit_run, tiny_root, tmp_path):
    one = checkpoint(fit_run)
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--load-dir", one.parent, "--load-checkpoint", one)
    with pytest.raises(InputError, match="--load-dir and --load-checkpoint both name a checkpoint"):
        config.check()
