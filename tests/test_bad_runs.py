"""Bad input to whole commands: a sentence, exit code 1, no traceback, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import call, checkpoint, train
from tiny_root import SCENE


def refused(method: str, root: Path, out: Path, *options: object, views: str = "3") -> str:
    text = train(method, root, out, *options, views=views, fails=True)
    assert "Traceback" not in text and "Error: " in text, text[-2000:]
    assert not list(out.rglob("config.yml"))
    return text


def test_no_prior_is_said_before_anything_is_loaded(tiny_root, tmp_path):
    text = refused("baseh3d", tiny_root, tmp_path / "o")
    assert "--load-prior" in text and "baseh3d-fast-prior" in text and "builtin" in text


def test_a_prior_of_larger_networks(tiny_root, tmp_path):
    from baseh3d_ns import methods
    from baseh3d_ns.heads.head_file import Head, named_parameters, save_head

    field = methods.idr.config.pipeline.model.sdf_field.setup()
    weights = {name: parameter.detach() for name, parameter in named_parameters(field)}
    save_head(tmp_path / "full-size.safetensors", Head(weights, {}))
    text = refused("baseh3d-fast", tiny_root, tmp_path / "o", "--load-prior", tmp_path / "full-size.safetensors")
    assert "full-size.safetensors" in text and "4 x 128" in text and "8 x 512" in text


def test_no_data(tmp_path):
    assert "no such data folder" in refused("idr", tmp_path / "nowhere", tmp_path / "o")


def test_views_out_of_range(tiny_root, tmp_path):
    assert "has no view 7" in refused("idr", tiny_root, tmp_path / "o", views="0,7")


@pytest.mark.parametrize("views", ["2,3", "0,1"], ids=["to train on", "to evaluate"])
def test_a_photo_that_is_cut_off(own_root, tmp_path, views):
    photo = sorted((own_root / SCENE / "image").iterdir())[2]
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    assert f"{photo.name} is not a readable image" in refused("idr", own_root, tmp_path / "o", views=views)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("baseh3d-fast", ["--pipeline.model.mask-alpha", 0], "mask-alpha 0"),
        ("baseh3d-fast", ["--pipeline.model.mask-alpha", 2000], "1600 at most"),
        ("baseh3d-fast", ["--warm-start.colours.steps", -1], "pass a number of steps"),
        ("h3dnet-fast", ["--warm-start.latent.steps", -1], "pass a number of steps"),
        ("baseh3d-fast", ["--carry-optimizer", True], "set both to 0"),
    ],
)
def test_options_without_a_meaning(method, options, said, tiny_root, tmp_path):
    assert said in refused(method, tiny_root, tmp_path / "o", *options)


def test_output_folder_not_writable(tiny_root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "--output-dir" in refused("idr", tiny_root, tmp_path / "file")


def test_a_truncated_checkpoint_is_named(fit_run, tiny_root, tmp_path):
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    (models / "step-000000011.ckpt").write_bytes(checkpoint(fit_run).read_bytes()[:500])
    text = train("baseh3d-fast", tiny_root, tmp_path / "o", "--load-dir", models, fails=True)
    assert "step-000000011.ckpt is truncated" in text and "Traceback" not in text


WRITER = "nerfstudio.utils.writer"
EVIL_CONFIGS = [
    "!!python/object/apply:os.system ['touch {out}/pwned']",
    "!!python/object/apply:nerfstudio.utils.writer.SummaryWriter ['{out}/pwned']",
    "!!python/object/apply:nerfstudio.utils.scripts.run_command ['touch {out}/pwned']",
    "!!python/module:this",
    "!!python/object/apply:builtins.getattr [!!python/name:pathlib.PosixPath '', unlink]",
    "\x00binary",
    "- a list",
]


@pytest.mark.parametrize("text", EVIL_CONFIGS)
def test_a_config_that_names_code_is_not_executed(text, tmp_path):
    from baseh3d_ns.runs import read_config

    from baseh3d_ns.errors import InputError

    (tmp_path / "config.yml").write_text(text.format(out=tmp_path))
    with pytest.raises(InputError, match="config.yml"):
        read_config(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_a_config_of_another_python_opens(fit_run, tmp_path):
    """Releases of Python 3.11 write the member of an enum in two ways."""
    from baseh3d_ns.runs import read_config
    from nerfstudio.configs.base_config import LocalWriterConfig  # noqa: F401 (nerfstudio's writer cannot come first)
    from nerfstudio.utils.writer import EventName

    text = fit_run.config.read_text()
    by_value, by_name = (f"!!python/object/apply:{name}" for name in (f"{WRITER}.EventName", "builtins.getattr"))
    for value in re.findall(rf"{by_value}\n\s+- (.+)", text):
        other = rf"{by_name}\1- !!python/name:{WRITER}.EventName ''\1- {EventName(value).name}"
        text = re.sub(rf"{by_value}(\n\s+)- {re.escape(value)}", other, text)
    assert text.count(by_name) > 3
    (tmp_path / "config.yml").write_text(text)
    assert read_config(tmp_path).logging == read_config(fit_run.folder).logging


def test_a_config_with_another_dataparser_is_refused(fit_run, tmp_path):
    """nerfstudio's minimal parser unpickles what lies beside it."""
    from baseh3d_ns.runs import read_config

    from baseh3d_ns.errors import InputError

    parser = "nerfstudio.data.dataparsers.minimal_dataparser.MinimalDataParser"
    text = fit_run.config.read_text().replace("baseh3d_ns.data.h3ds_dataparser.H3dsDataParser", parser)
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(InputError, match="it names nerfstudio.data.dataparsers.minimal"):
        read_config(tmp_path)


def test_our_own_commands_run_from_any_folder(fit_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("baseh3d", "export", "--load-config", fit_run.config, "--output", "head.stl", "--spacing-mm", 4.0)
    assert (tmp_path / "head.stl").is_file()
