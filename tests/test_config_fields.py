"""No dead option: every field of our configs is read and explained, inherited ones that do nothing are hidden."""

import ast
import contextlib
import dataclasses
import inspect
import io
import re
from pathlib import Path

import nerfstudio
import pytest
import tyro
from config_reads import read_by_running, reads_in_package
from nerfstudio.data.datamanagers.base_datamanager import DataManager
from nerfstudio.engine.optimizers import OptimizerConfig
from nerfstudio.models.base_model import Model
from nerfstudio.plugins.types import MethodSpecification

from baseh3d_ns import cli, methods

METHODS = {name: spec.config for name, spec in vars(methods).items() if isinstance(spec, MethodSpecification)}
BY_NERFSTUDIO = {"_target", "dataparser", "eval_num_rays_per_chunk", "enable_collider"}
"""Fields that we declare again to give them another type or default; nerfstudio reads them."""
WITHOUT_EFFECT = {
    ("DataManagerConfig", "masks_on_gpu"),
    ("DataManagerConfig", "images_on_gpu"),
    ("ModelConfig", "enable_collider"),
    ("ModelConfig", "collider_params"),
    ("TrainerConfig", "prompt"),
    ("ExperimentConfig", "prompt"),
}
"""(class, field) that nerfstudio reads although nothing follows from it here."""


def configs_in(value) -> set[type]:
    """Classes of all our dataclasses within a config."""
    if isinstance(value, dict):
        return {found for part in value.values() for found in configs_in(part)}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return set()
    below = {found for f in dataclasses.fields(value) for found in configs_in(getattr(value, f.name))}
    return below | {cls for cls in type(value).__mro__ if cls.__module__.startswith("baseh3d_ns.")}


COMMANDS = {cls for cls in vars(cli).values() if dataclasses.is_dataclass(cls) and hasattr(cls, "main")}
CONFIGS = sorted({c for config in METHODS.values() for c in configs_in(config)} | COMMANDS, key=lambda c: c.__name__)


def own_fields(config: type) -> list[str]:
    """Fields that this class declares, without inherited ones that it only hides."""
    inherited = {name for base in config.__mro__[1:] for name in vars(base).get("__annotations__", {})}
    declared = vars(config).get("__annotations__", {})
    hidden = {name for name in inherited & set(declared) if "Suppress[" in str(declared[name])}
    return [f.name for f in dataclasses.fields(config) if f.name in set(declared) - hidden]


def test_every_field_is_read():
    """By code that knows which config it reads: annotate a variable that holds one."""
    read = reads_in_package()
    unread = [
        f"{config.__name__}.{name}"
        for config in CONFIGS
        for name in own_fields(config)
        if name not in BY_NERFSTUDIO
        and not any(attr == name and (cls in config.__mro__ or config in cls.__mro__) for cls, attr in read)
    ]
    assert unread == []


def test_every_field_is_explained():
    """The docstring below a field is what `--help` shows."""
    silent = []
    for config in CONFIGS:
        body = ast.parse(inspect.getsource(config)).body[0].body
        explained = {
            before.target.id
            for before, after in zip(body, body[1:], strict=False)
            if isinstance(before, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        }
        silent += [f"{config.__name__}.{name}" for name in own_fields(config) if name not in explained | {"_target"}]
    assert silent == []


def options_shown(config, monkeypatch) -> list[str]:
    """Options in `ns-train METHOD --help`, rendered as nerfstudio does."""
    monkeypatch.setenv("COLUMNS", "120")
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        kind = tyro.conf.SuppressFixed[tyro.conf.FlagConversionOff[type(config)]]
        tyro.cli(kind, default=config, args=["--help"])
    return re.findall(r"(?:^|\s{2,}|│ )--([a-z][\w.-]*) [A-Z{\[]", text.getvalue(), re.MULTILINE)


def names_read_by_nerfstudio() -> set[str]:
    """Attributes that nerfstudio's training and viewer read of anything."""
    root = Path(nerfstudio.__file__).parent
    folders = ("engine", "configs", "pipelines", "viewer", "utils", "scripts/train.py", "scripts/viewer")
    files = [file for part in folders for file in (root / part, *(root / part).rglob("*.py")) if file.is_file()]
    return {name for file in files for name in re.findall(r"\.(\w+)", file.read_text())}


def does_something(config, name: str, elsewhere: set[str]) -> bool:
    """Whether anything follows from that field of `config`, an object of some config class."""
    classes = [cls for cls in type(config).__mro__ if name in vars(cls).get("__annotations__", {})]
    if any((cls.__name__, name) in WITHOUT_EFFECT for cls in classes):
        return False
    if any(cls.__module__.startswith("baseh3d_ns.") for cls in classes):
        return True  # test_every_field_is_read
    if isinstance(config, OptimizerConfig):
        return True  # all fields are handed to torch
    target = getattr(config, "_target", object)
    if issubclass(target, DataManager | Model):
        return name in read_by_running(target)
    return name in elsewhere


@pytest.mark.parametrize("method", METHODS)
def test_what_does_nothing_is_not_shown(method, monkeypatch):
    """Hide it with `tyro.conf.Suppress`, or add to `WITHOUT_EFFECT` what only seems to be read."""
    elsewhere, dead = names_read_by_nerfstudio(), []
    shown = options_shown(METHODS[method], monkeypatch)
    assert {"max-num-iterations", "pipeline.model.eikonal-weight", "machine.seed"} <= set(shown)
    for option in shown:
        value = METHODS[method]
        for name in option.replace("-", "_").split("."):
            if isinstance(value, dict):
                # Our trainers set their own schedule over any that is configured.
                alive, value = name != "scheduler", value.get(name)
            else:
                alive, value = does_something(value, name, elsewhere), getattr(value, name)
            if not alive:
                dead.append(option)
                break
    assert dead == []
