"""A checkpoint that does not fit the training, or that somebody has tampered with, is a sentence before it is used."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import COARSE, QUICK_START, SMALL, configured

from baseh3d_ns import methods
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.head_file import HEAD_FILE, save_head
from baseh3d_ns.heads.readers import newest_checkpoint, open_head
from baseh3d_ns.training.checkpoint import SCHEDULE
from baseh3d_ns.training.schedule import Schedule

METHOD = "baseh3d-fast-prior"
MODEL, LIN0 = "_model.", "_model.field.sdf_network.lin0.bias"


@pytest.fixture(scope="module")
def saved(tiny_root, tmp_path_factory) -> Path:
    """A checkpoint after one step, made in this process."""
    out = tmp_path_factory.mktemp("saved")
    options = ["--epochs", 3, "--pipeline.datamanager.train-num-rays-per-batch", 64, "--vis", "tensorboard"]
    config = configured(METHOD, tiny_root, out, *options)
    config.pipeline.model.refine_from = 0.0
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.train_iteration(0)
    trainer.save_checkpoint(0)
    return newest_checkpoint(trainer.checkpoint_dir)


def refusal(
    saved: Path,
    root: Path,
    folder: Path,
    *options: object,
    method: str = METHOD,
    views: str = "3",
    change: Callable[[Any], Any] = lambda state: None,
) -> str:
    """The sentence that a training is refused with, which names its checkpoint."""
    state = torch.load(saved, weights_only=True)
    other = change(state)
    torch.save(state if other is None else other, folder / saved.name)
    with pytest.raises(InputError) as caught:
        configured(method, root, folder, *options, "--load-dir", folder, views=views).check()
    said = str(caught.value)
    assert str(folder / saved.name) in said and "\n" not in said
    return said


def rates(trainer: Any) -> list[float]:
    """Learning rates of all optimisers."""
    return [group["lr"] for one in trainer.optimizers.optimizers.values() for group in one.param_groups]


@pytest.mark.parametrize("load_scheduler", [True, False])
def test_a_resumed_training_has_the_learning_rates_of_its_own_options(load_scheduler, saved, tiny_root, tmp_path):
    """They were the checkpoint's, or warmed up once more."""
    options = ["--epochs", 20, "--load-dir", saved.parent, "--vis", "tensorboard"]
    options += ["--optimizers.fields.optimizer.lr", 5e-4, "--pipeline.datamanager.train-num-rays-per-batch", 64]
    config = configured(METHOD, tiny_root, tmp_path, *options)
    config.pipeline.model.refine_from, config.load_scheduler = 0.0, load_scheduler
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    for step in (1, 2):
        factor = config.lr_factor(step / 60)
        assert rates(trainer) == pytest.approx([5e-4 * factor, methods.VIEWS_LR * factor], rel=1e-6)
        trainer.train_iteration(step)


def test_an_unharmed_checkpoint_is_gone_on_from(saved, tiny_root, tmp_path):
    for odd in ("notes.txt", ".DS_Store", "step-000000000.ckpt.bak", "step-old.ckpt"):
        (saved.parent / odd).write_text("not a checkpoint")
    config = configured(METHOD, tiny_root, tmp_path, "--epochs", 9, "--load-dir", saved.parent, "--vis", "tensorboard")
    before = repr(config)
    config.check()
    assert repr(config) == before
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    assert trainer._start_step == 1


@pytest.mark.parametrize(
    ("method", "views", "options", "said"),
    [
        (METHOD, "1,", [], "another number of views"),
        (METHOD, "0,1,4", [], "other views, or of another scene"),
        (METHOD, "3", ["--pipeline.model.sdf-field.sdf.width", 64], "other networks"),
        (
            METHOD,
            "3",
            ["--pipeline.model.refine-cameras", False, "--pipeline.model.refine-colours", False],
            "correctio",
        ),
        (METHOD, "3", ["--pipeline.model.anchor.weight", 0.1], "another prior anchor"),
        ("idr", "3", [], "other networks"),
        ("h3dnet-fast", "3", [], "other networks"),
        ("h3dnet-fast-prior", "3", [], "other networks"),
    ],
)
def test_a_checkpoint_of_another_training_says_what_differs(method, views, options, said, saved, tiny_root, tmp_path):
    if method == "h3dnet-fast-prior":
        config = deepcopy(methods.h3dnet_fast_prior.config)
        config.load_dir = saved.parent
        with pytest.raises(InputError, match=said):
            config.check()
    else:
        assert said in refusal(saved, tiny_root, tmp_path, *options, method=method, views=views)


@pytest.mark.parametrize(
    ("options", "views", "said"),
    [
        (["--finish-colours.steps", 0], "3", "other detail of its colours (--finish-colours.steps 0, or not"),
        (["--pipeline.model.sdf-field.detail.cells", 8], "3", "other detail (another size of the photos"),
        (["--pipeline.model.sdf-field.sdf.width", 64], "3", "other networks"),
        ([], "1,", "another number of views"),
    ],
)
def test_a_checkpoint_of_other_detail_names_the_option_that_differs(options, views, said, fit_run, tiny_root, tmp_path):
    models = fit_run.folder / "nerfstudio_models"
    options = [*SMALL, *COARSE, *QUICK_START, *options, "--load-dir", models]
    with pytest.raises(InputError) as caught:
        configured("baseh3d-fast", tiny_root, tmp_path, *options, views=views).check()
    assert f"was saved by another training, with {said}" in str(caught.value)


def put(*way: Any, value: Any) -> Callable[[Any], None]:
    """Set an entry of the saved state."""

    def change(state: Any) -> None:
        for key in way[:-1]:
            state = state[key]
        state[way[-1]] = value

    return change


def drop(*way: Any) -> Callable[[Any], None]:
    """Take out an entry of the saved state."""

    def change(state: Any) -> None:
        for key in way[:-1]:
            state = state[key]
        del state[way[-1]]

    return change


ADAM, SCHEDULER = ("optimizers", "fields"), ("schedulers", "fields")
DAMAGES = [
    (drop("step"), "after which step"),
    (put("step", value="12"), "after which step"),
    (put("step", value=-3), "after which step"),
    (drop("pipeline"), "no checkpoint of a training"),
    (drop("optimizers"), "no checkpoint of a training"),
    (drop("scalers"), "no checkpoint of a training"),
    (put("pipeline", value=[1, 2]), "no checkpoint of a training"),
    (lambda state: torch.zeros(3), "no checkpoint of a training"),
    (drop("pipeline", SCHEDULE), "before 0.2"),
    (drop("pipeline", LIN0), "missing there"),
    (put("pipeline", LIN0, value="text"), "no tensor there"),
    (put("pipeline", LIN0, value=torch.zeros(5)), "5 there, 128 here"),
    (put("pipeline", LIN0, value=torch.full((128,), torch.nan)), "is not finite"),
    (put("pipeline", MODEL + "more", value=torch.zeros(1)), "another model"),
    (put("pipeline", "datamanager._extra_state", value={"config": 1}), "which no training saves"),
    (put("pipeline", SCHEDULE, "config", value=1), "its schedule is damaged"),
    (put("pipeline", SCHEDULE, value=[1]), "its schedule is damaged"),
    (drop("pipeline", SCHEDULE, "planned"), "its schedule is damaged"),
    (put("pipeline", SCHEDULE, "planned", value="9"), "'planned' of its schedule"),
    (put("pipeline", SCHEDULE, "planned", value=True), "'planned' of its schedule"),
    (put("pipeline", SCHEDULE, "start_progress", value=torch.nan), "'start_progress' of its schedule"),
    (put("pipeline", SCHEDULE, "planned", value=-4), "'planned' of its schedule is -4"),
    (drop(*ADAM), "its optimisers are views"),
    (put("optimizers", "more", value={}), "its optimisers are"),
    (put(*ADAM, value=3), "'fields' is damaged"),
    (put(*ADAM, "param_groups", value=[]), "'fields' is damaged"),
    (put(*ADAM, "param_groups", 0, "params", value=[0]), "has other parameters"),
    (put(*ADAM, "param_groups", 0, "lr", value="fast"), "'lr' of the optimiser"),
    (drop(*ADAM, "param_groups", 0, "initial_lr"), "'initial_lr' of the optimiser"),
    (drop(*ADAM, "param_groups", 0, "betas"), "lacks its decay rates"),
    (put(*ADAM, "state", 0, "exp_avg", value=torch.zeros(7)), "moments of another shape"),
    (put(*ADAM, "state", 0, value=None), "moments of another shape"),
    (put(*ADAM, "state", 999, value={}), "moments of another shape"),
    (drop(*ADAM, "state", 0, "step"), "moments of another shape"),
    (put(*SCHEDULER, "get_lr", value=1), "would set 'get_lr'"),
    (put(*SCHEDULER, "optimizer", value={}), "would set 'optimizer'"),
    (put(*SCHEDULER, "last_epoch", value="x"), "would set 'last_epoch'"),
    (put(*SCHEDULER, "lr_lambdas", value=[{"__code__": 1}]), "would set 'lr_lambdas'"),
    (drop(*SCHEDULER, "lr_lambdas"), "'fields' is damaged"),
    (put("schedulers", "more", value={}), "schedulers are not those"),
    (put("scalers", value={"_per_optimizer_states": 1.0}), "gradient scaler is damaged"),
]


@pytest.mark.parametrize(("change", "said"), DAMAGES, ids=[str(number) for number in range(len(DAMAGES))])
def test_damage_is_a_sentence(change, said, saved, tiny_root, tmp_path):
    assert said in refusal(saved, tiny_root, tmp_path, change=change)


@pytest.mark.parametrize("option", ["mixed_precision", "use_grad_scaler"])
def test_half_precision_is_refused_with_the_reason(option, tiny_root, tmp_path):
    """The options are not in --help; a config.yml or a program may still set them."""
    config = replace(configured(METHOD, tiny_root, tmp_path), **{option: True})
    with pytest.raises(InputError, match=f"{option} True: .* need float32: leave it at False"):
        config.check()


def test_a_finished_training_is_named_before_anything_is_set_up(saved, tiny_root, tmp_path, capsys):
    options = ["--max-num-iterations", 1, "--vis", "tensorboard"]
    config = configured(METHOD, tiny_root, tmp_path, *options, "--load-dir", saved.parent)
    with pytest.raises(SystemExit):
        config.save_config()
    assert "has already reached its last step 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_schedule_takes_only_what_it_knows():
    schedule = Schedule()
    schedule.planned = 100
    with pytest.raises(ValueError, match="damaged"):
        schedule.set_extra_state({**schedule.get_extra_state(), "progress": None})
    again = Schedule()
    again.set_extra_state(schedule.get_extra_state())
    assert again.planned == 100


@pytest.mark.parametrize("full_at", ["checkpoint", "head file", "logs", "memory"])
def test_a_full_disk_in_a_training_says_from_which_step_to_go_on(full_at, tiny_root, tmp_path, monkeypatch, capsys):
    options = ["--pipeline.datamanager.train-num-rays-per-batch", 64, "--vis", "tensorboard", "--steps-per-save", 2]
    config = configured(METHOD, tiny_root, tmp_path, "--max-num-iterations", 9, *options)
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"checkpoint": "torch.save", "head file": "safetensors.torch.save_file"}
    train_iteration = trainer.train_iteration

    def fills_the_disk(step: int) -> Any:
        if step == 4 and full_at == "logs":
            full()
        elif step == 4 and full_at == "memory":
            torch.empty(1 << 60)
        elif step == 4:
            monkeypatch.setattr(target[full_at], full)
        return train_iteration(step)

    trainer.train_iteration = fills_the_disk
    with pytest.raises(SystemExit) as ended:
        trainer.train()
    said = capsys.readouterr().err
    assert ended.value.code == 1 and ("memory" if full_at == "memory" else "No space left") in said
    assert str(trainer.base_dir) in said and "\n" not in said.strip()
    assert f"to go on from step 3, run `ns-train {METHOD} --load-dir {trainer.checkpoint_dir}`" in said
    assert [path.name for path in trainer.checkpoint_dir.iterdir()] == ["step-000000002.ckpt"]
    assert open_head(trainer.base_dir).provenance["steps"] == (5 if full_at == "checkpoint" else 3)
    monkeypatch.undo()
    configured(METHOD, tiny_root, tmp_path, *options, "--load-dir", trainer.checkpoint_dir).check()


def test_a_full_disk_before_the_first_checkpoint_says_to_start_again(tiny_root, tmp_path, capsys, monkeypatch):
    config = configured(METHOD, tiny_root, tmp_path, "--vis", "tensorboard", "--max-num-iterations", 2)
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(trainer, "train_iteration", full)
    with pytest.raises(SystemExit):
        trainer.train()
    assert "must be started again" in capsys.readouterr().err


def test_a_checkpoint_that_a_tool_cannot_use_is_a_sentence(saved, tiny_root, tmp_path, capsys):
    """`ns-eval` and `ns-viewer` load without the checks of a training."""
    pipeline = configured(METHOD, tiny_root, tmp_path).pipeline.setup(device="cpu", test_mode="test")
    state = torch.load(saved, weights_only=True)["pipeline"]
    damages: list[tuple[dict[str, Any], str]] = [
        ({SCHEDULE: {"planned": "soon"}}, "its schedule is damaged"),
        ({LIN0: torch.zeros(3)}, "size mismatch for field.sdf_network.lin0.bias"),
    ]
    for damage, said in damages:
        with pytest.raises(SystemExit):
            pipeline.load_pipeline({**state, **damage}, 3)
        assert f"checkpoint after step 3 cannot be used, {said}" in capsys.readouterr().err


def test_a_resumed_fit_still_knows_its_prior_and_its_doubts(fit_run, tiny_root, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(fit_run.folder, folder)
    head = open_head(fit_run.folder)
    doubt = "The head's up was not found."
    save_head(folder / HEAD_FILE, replace(head, provenance={**head.provenance, "warnings": [doubt]}))
    options = [*SMALL, *COARSE, *QUICK_START, "--epochs", 6, "--load-dir", folder / "nerfstudio_models"]
    config = configured("baseh3d-fast", tiny_root, tmp_path, *options, "--vis", "tensorboard")
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    known = trainer.provenance(12)
    assert known["load_prior"] == head.provenance["load_prior"] != "builtin" and known["warnings"] == [doubt]
    assert head.doubts == (), "its colours were finished, those of the training that goes on are not"
    said, unfinished = trainer.head(12).doubts
    assert said == doubt and "colours are not finished" in unfinished and "step 13 of 18" in unfinished
    assert "ns-train baseh3d-fast --load-dir" in unfinished
    trainer.steps_done = 13
    trainer._say_what_came_of_it(12)
    assert f"note     {unfinished}" in capsys.readouterr().out
    trainer.finish()
    assert trainer.head(17).doubts == (doubt,)


def test_detail_of_a_prior_that_is_gone_is_that_of_the_checkpoint(fit_run, tiny_root, tmp_path):
    """One photo learns none of its own."""
    models, gone = fit_run.folder / "nerfstudio_models", tmp_path / "gone.safetensors"
    options = [*SMALL, *COARSE, *QUICK_START, "--load-prior", gone, "--load-dir", models]
    own = open_head(fit_run.folder).weights["detail.cells"].tolist()
    assert (
        own
        and list(configured("baseh3d-fast", tiny_root, tmp_path, *options, views="1").networks().detail.cells) == own
    )


def test_the_head_file_of_the_last_step_is_there_before_its_checkpoint(tiny_root, tmp_path, monkeypatch):
    """A kill between the two once left a finished training without its head, which could not be gone on with."""
    config = configured(METHOD, tiny_root, tmp_path, "--epochs", 1, "--vis", "tensorboard")
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(2)
    assert open_head(trainer.base_dir).provenance["steps"] == 3 and not list(trainer.base_dir.rglob("*.ckpt"))
