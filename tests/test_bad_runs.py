"""Bad input to trainings: a sentence before any long work, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from processes import call, checkpoint, configured, train
from tiny_root import SCENE

from baseh3d_ns import methods
from baseh3d_ns.data import views as data_views
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.run_files import evaluation_folder
from baseh3d_ns.evaluation.score_run import scene_of_head
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.heads.description import describe_head
from baseh3d_ns.heads.head_file import Head, save_head
from baseh3d_ns.heads.networks import weights_of_field
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.heads.readers import BUILTIN, find_head_file, newest_checkpoint, open_head


def refusal(method: str, root: Path, out: Path, *options: object, views: str = "3") -> str:
    """The sentence that a training is refused with, after checking that nothing was written."""
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        configured(method, root, out, *options, views=views).save_config()
    assert ended.value.code == 1 and len(said) == 1 and said[0].startswith("Error: ") and "\n" not in said[0]
    assert not list(out.rglob("config.yml"))
    return said[0]


def test_a_refused_command_ends_with_a_sentence_and_writes_nothing(tiny_root, tmp_path):
    text = train("idr", tiny_root, tmp_path / "o", views="0,7", fails=True)
    assert "Error: " in text and "has no view 7" in text and "Traceback" not in text
    assert not list(tmp_path.rglob("config.yml"))


def test_no_prior_is_said_before_anything_is_loaded(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr(data_views, "read_photo", lambda path: pytest.fail(f"{path} was opened first"))
    said = refusal("baseh3d", tiny_root, tmp_path)
    assert "--load-prior" in said and "baseh3d-fast-prior" in said and "builtin" in said


def test_a_prior_of_larger_networks(tiny_root, tmp_path):
    field = methods.idr.config.pipeline.model.sdf_field.setup()
    save_head(tmp_path / "full-size.safetensors", Head(weights_of_field(field), {}))
    said = refusal("baseh3d-fast", tiny_root, tmp_path, "--load-prior", tmp_path / "full-size.safetensors")
    assert "full-size.safetensors" in said and "4 x 128" in said and "8 x 512" in said


def test_a_run_keeps_the_name_that_the_user_gave_and_shares_none_that_is_a_time(tiny_root, tmp_path):
    """Two trainings that begin in one second, and a name with a folder."""

    def folder(name: str) -> str:
        config = configured("idr", tiny_root, tmp_path)
        config.timestamp = name
        config.save_config()
        assert (config.get_base_dir() / "config.yml").is_file()
        return str(config.get_base_dir().relative_to(tmp_path / "t" / "idr"))

    named = [folder(name) for name in ("2026-11-28_091934", "2026-11-28_091934", "day/run", "day/run", "")]
    assert named == ["2026-11-28_091934", "2026-11-28_091934-2", "day/run", "day/run", "."]


def test_no_data(tmp_path):
    assert "no such data folder" in refusal("idr", tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("views", ["2,3", "0,1"], ids=["to train on", "to evaluate"])
def test_a_photo_that_is_cut_off(own_root, tmp_path, views):
    photo = sorted((own_root / SCENE / "image").iterdir())[2]
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    assert f"{photo.name} is not a readable image" in refusal("idr", own_root, tmp_path / "o", views=views)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        (
            "baseh3d-fast",
            ["--pipeline.model.mask-alpha", 0],
            "mask-alpha 0.0 is out of range",
        ),
        ("baseh3d-fast", ["--pipeline.model.mask-alpha", 2000], "at most 1600"),
        ("baseh3d-fast", ["--warm-start.colours.steps", -1], "--warm-start.colours.steps -1 is out of range"),
        ("h3dnet-fast", ["--warm-start.latent.steps", -1], "--warm-start.latent.steps -1 is out of range"),
        ("baseh3d-fast", ["--carry-optimizer", True], "goes with no warm start"),
        ("idr", ["--pipeline.model.sdf-field.feature-layers", 2], "only h3dnet"),
        ("idr", ["--pipeline.model.sdf-field.sdf.latent", 4], "only h3dnet"),
        ("h3dnet-fast", ["--pipeline.model.sdf-field.sdf.latent", 0], "h3dnet needs a latent and a network"),
        ("h3dnet-fast", ["--pipeline.model.sdf-field.sdf.features", 0], "h3dnet needs a latent and a network"),
        ("baseh3d-fast", ["--pipeline.model.sdf-field.sdf.width", 32], "leaves no unit beside the 39 numbers"),
    ],
)
def test_options_without_a_meaning(method, options, said, tiny_root, tmp_path):
    assert said in refusal(method, tiny_root, tmp_path / "o", *options)


def test_output_folder_not_writable(tiny_root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "--output-dir" in refusal("idr", tiny_root, tmp_path / "file")


def test_a_run_that_has_saved_nothing_is_named_as_that(tmp_path):
    (tmp_path / "config.yml").write_text("")
    with pytest.raises(InputError, match="its training still runs, or ended before it saved one"):
        find_head_file(tmp_path)


def test_a_checkpoint_keeps_the_optimiser_for_those_who_go_on(fit_run):
    checkpoint = newest_checkpoint(fit_run.folder / "nerfstudio_models")
    assert "optimiser      : in the checkpoint, for --load-dir" in describe_head(checkpoint)


def test_a_truncated_checkpoint_is_named(fit_run, tiny_root, tmp_path):
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    (models / "step-000000011.ckpt").write_bytes(checkpoint(fit_run).read_bytes()[:500])
    said = refusal("baseh3d-fast", tiny_root, tmp_path / "o", "--load-dir", models)
    assert "step-000000011.ckpt is truncated" in said


def test_a_checkpoint_of_0_1_is_not_resumed_but_started_from(fit_run, tiny_root, tmp_path):
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    state = torch.load(checkpoint(fit_run), weights_only=True)
    del state["pipeline"]["schedule._extra_state"]
    torch.save(state, models / "step-000000011.ckpt")
    said = refusal("baseh3d-fast", tiny_root, tmp_path / "o", "--load-dir", models)
    assert "before 0.2" in said and "--load-prior" in said
    configured("baseh3d-fast", tiny_root, tmp_path / "o", "--load-prior", models / "step-000000011.ckpt").check()


def test_a_check_changes_nothing(fit_run, tiny_root, tmp_path):
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--load-prior", fit_run.folder)
    before = repr(config)
    config.check()
    assert repr(config) == before and not list(tmp_path.iterdir())


def test_a_head_of_an_old_run_says_what_it_does_not_know(fit_run, tmp_path):
    """A checkpoint alone, as 0.1.x left it: meshed as it is, scored once its scene is named."""
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    (models / checkpoint(fit_run).name).write_bytes(checkpoint(fit_run).read_bytes())
    call("baseh3d", "export", "--load-config", tmp_path, "--output", tmp_path / "head.stl", "--spacing-mm", 6.0)
    said = call("baseh3d", "evaluate", "--load-config", tmp_path, fails=True)
    assert "pass --data ROOT --scene NAME" in said and "Traceback" not in said
    named = ["--data", fit_run.root, "--scene", SCENE, "--spacing-mm", 6.0]
    assert re.search(r"face \d+", call("baseh3d", "evaluate", "--load-config", tmp_path, *named))
    assert (tmp_path / "evaluation" / "evaluation.json").is_file()


def test_a_config_that_names_code_is_not_executed(fit_run, tmp_path):
    """The config.yml of a run that somebody sent is not read at all."""
    (tmp_path / "config.yml").write_text(f"!!python/object/apply:os.system ['touch {tmp_path}/pwned']")
    (tmp_path / "head.safetensors").write_bytes((fit_run.folder / "head.safetensors").read_bytes())
    output = tmp_path / "head.stl"
    call("baseh3d", "export", "--load-config", tmp_path / "config.yml", "--output", output, "--spacing-mm", 6.0)
    assert output.is_file() and not (tmp_path / "pwned").exists()


def test_an_evaluation_lies_in_the_runs_folder_from_wherever_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "run" / "nerfstudio_models").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "nerfstudio_models")
    written = tmp_path / "run" / "evaluation"
    assert evaluation_folder(Path("step-000000009.ckpt"), None) == written
    assert evaluation_folder(tmp_path / "run" / "head.safetensors", None) == written


def test_an_evaluation_of_the_builtin_head_is_not_written_into_the_package():
    assert evaluation_folder(find_head_file(BUILTIN), None) == Path("evaluation")
    assert evaluation_folder(find_head_file(BUILTIN), Path("mine")) == Path("mine")


def test_another_scene_than_the_heads_is_refused(fit_run):
    head = open_head(fit_run.folder)
    elsewhere = Head(head.weights, head.provenance, HEAD_FRAME)
    with pytest.raises(InputError, match="was not trained on scene .*: their frames differ"):
        scene_of_head(OpenedHead(elsewhere, fit_run.folder))


def test_our_own_commands_run_from_any_folder(fit_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("baseh3d", "export", "--load-config", fit_run.config, "--output", "head.stl", "--spacing-mm", 4.0)
    assert (tmp_path / "head.stl").is_file()
