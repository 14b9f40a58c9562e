"""Every numeric option has bounds, and a number out of them is one sentence before anything is read."""

from __future__ import annotations

import dataclasses
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from annotated_types import Ge
from processes import configured
from test_config_fields import COMMANDS, METHODS, options_shown

from baseh3d_ns.bounds import Count, Fraction, check_bounds, numbers
from baseh3d_ns.commands.data import Synth
from baseh3d_ns.commands.heads import Export
from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.errors import InputError


@dataclasses.dataclass
class Inner:
    share: Fraction = 0.5


@dataclasses.dataclass
class Outer:
    count: Count = 1
    pair_of: tuple[Fraction, Fraction] = (0.0, 1.0)
    perhaps: Count | None = None
    free: float = -7.0
    flag: bool = False
    inner: Inner = dataclasses.field(default_factory=Inner)
    named: dict = dataclasses.field(default_factory=lambda: {"one": {"inner": Inner()}})


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"count": 0}, "--count 0 "),
        ({"pair_of": (0.5, 1.5)}, "--pair-of 1.5 "),
        ({"perhaps": -1}, "--perhaps -1 "),
        ({"free": math.nan}, "--free nan "),
        ({"free": -math.inf}, "--free -inf "),
        ({"inner": Inner(share=-0.1)}, "--inner.share -0.1 "),
        ({"named": {"one": {"inner": Inner(share=2.0)}}}, "--named.one.inner.share 2.0 "),
    ],
)
def test_a_number_out_of_bounds_is_named_wherever_it_stands(change, option):
    with pytest.raises(InputError) as caught:
        check_bounds(Outer(**change))
    assert str(caught.value).startswith(option) and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [Path(300 * "a"), Path("out") / (300 * "ü") / "x", Path("a\0b")])
def test_a_path_that_no_file_system_has_is_named(path):
    with pytest.raises(InputError, match="--output .* give names of at most 255 bytes"):
        check_bounds(Export(load_config=Path("builtin"), output=path))


def test_the_range_is_part_of_the_sentence():
    check_bounds(Outer())
    with pytest.raises(InputError, match="at least 0 and at most 1"):
        check_bounds(Outer(inner=Inner(share=2.0)))
    with pytest.raises(InputError, match="that is at least 1"):
        check_bounds(Outer(perhaps=math.nan))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_every_number_in_help_has_bounds_and_the_defaults_keep_to_them(method, monkeypatch):
    config = METHODS[method]
    check_bounds(config)
    found = {".".join(path).replace("_", "-"): bounds for path, _, bounds in numbers(config)}
    unbounded = [option for option in options_shown(config, monkeypatch) if option in found and not found[option]]
    assert unbounded == []
    assert found["optimizers.fields.optimizer.lr"] and found["machine.seed"]


@pytest.mark.parametrize("command", sorted(COMMANDS, key=lambda command: command.__name__))
def test_every_number_of_a_command_has_bounds(command):
    required = {
        field.name: Path("x")
        for field in dataclasses.fields(command)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert [path for path, _, bounds in numbers(command(**required)) if not bounds] == []


def changed(method: str, option: str, value: object) -> object:
    """The config of a method with one option of another value."""
    config = part = deepcopy(METHODS[method])
    *way, last = option.split(".")
    for name in way:
        part = part[name] if isinstance(part, dict) else getattr(part, name)
    if isinstance(part, dict):
        part[last] = value
    else:
        setattr(part, last, value)
    return config


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pipeline.datamanager.train_num_rays_per_batch", 0),
        ("pipeline.datamanager.train_num_rays_per_batch", -5),
        ("pipeline.datamanager.camera_res_scale_factor", 0.0),
        ("pipeline.datamanager.dataparser.downscale", 0.5),
        ("pipeline.model.eikonal_weight", -1.0),
        ("pipeline.model.photos.weight", math.nan),
        ("pipeline.model.mask_alpha", 0.0),
        ("pipeline.model.mask_alpha", 2000.0),
        ("pipeline.model.sdf_field.sdf.width", 0),
        ("warm_start.colours.steps", -1),
        ("warm_start.latent.steps", -1),
        ("steps_per_save", 0),
        ("max_num_iterations", 0),
        ("epochs", -1),
        ("lr_final", -0.1),
        ("machine.seed", -1),
        ("machine.num_devices", 0),
        ("gradient_accumulation_steps.fields", 0),
        ("optimizers.fields.optimizer.lr", math.nan),
        ("optimizers.fields.optimizer.lr", 1e9),
        ("optimizers.fields.optimizer.max_norm", -1.0),
        ("optimizers.fields.optimizer.weight_decay", -1.0),
    ],
)
def test_an_option_out_of_bounds_is_refused_before_anything_is_read(option, value, monkeypatch):
    """The data folder is not even there."""
    config = changed("baseh3d_fast", option, value)
    with pytest.raises(InputError) as caught:
        config.check()
    assert f"--{option.replace('_', '-')} {value}" in str(caught.value)


@pytest.mark.parametrize("width", [8, 39])
def test_a_network_too_narrow_for_its_skip_is_a_sentence(width):
    with pytest.raises(InputError, match=f"sdf.width {width}.*at least 40"):
        changed("idr", "pipeline.model.sdf_field.sdf.width", width).check()


def test_a_skip_behind_the_last_layer_is_a_sentence():
    with pytest.raises(InputError, match="skip-layer 9"):
        changed("idr", "pipeline.model.sdf_field.sdf.skip_layer", 9).check()


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_a_sentence(kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"--machine.device-type {kind}.*cpu"):
        changed("idr", "machine.device_type", kind).check()


def test_more_devices_than_there_are_is_a_sentence():
    config = changed("h3dnet_fast_prior", "machine.num_devices", 1000)
    with pytest.raises(InputError, match="--machine.num-devices 1000"):
        config.check()


def test_photos_shrunk_to_nothing_are_a_sentence(tiny_root):
    config = changed("idr", "pipeline.datamanager.dataparser.downscale", 40.0)
    config.pipeline.datamanager.data = tiny_root
    config.pipeline.datamanager.dataparser.scene = "scan0"
    with pytest.raises(InputError, match="photos of 1 x 1 pixels.*--downscale"):
        config.check()


def test_commands_check_their_numbers():
    with pytest.raises(InputError, match="--spacing-mm nan"):
        check_bounds(Export(load_config=Path("x"), spacing_mm=math.nan))
    with pytest.raises(InputError, match="--seed -1"):
        check_bounds(Synth(out=Path("x"), seed=-1))


def test_bounds_are_read_of_the_annotation_not_the_default():
    ((_, _, bounds), *_) = numbers(Outer())
    assert bounds == (Ge(1),)


@pytest.mark.parametrize(("views", "steps"), [("1", 350), ("3", 606)])
def test_the_length_of_a_fit_follows_from_the_number_of_its_views(views, steps, tiny_root, tmp_path):
    config = configured("baseh3d-fast", tiny_root, tmp_path, views=views)
    config.resolve()
    assert config.max_num_iterations == steps and config.epochs == -(-steps // int(views))
    again = configured("baseh3d-fast", tiny_root, tmp_path, "--epochs", 7, "--max-num-iterations", 5, views=views)
    again.resolve()
    assert (again.max_num_iterations, again.epochs) == (5, 7)


def test_only_fits_from_a_prior_have_a_length_of_their_own():
    with pytest.raises(InputError, match="--epochs 0 is out of range"):
        changed("idr", "epochs", 0).check()


def test_a_fit_from_a_prior_starts_from_no_sphere(tiny_root, tmp_path):
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--pipeline.model.sdf-field.sdf.sphere-radius", 0.5)
    with pytest.raises(InputError, match="sphere-radius: a fit starts from its prior"):
        config.check()
    config.pipeline.model.sdf_field.sdf.sphere_radius = 0.6
    config.check()


def test_options_of_finished_colours_are_none_of_the_first_ones(monkeypatch):
    shown = options_shown(METHODS["baseh3d_fast"], monkeypatch)
    for name in ("detail-learning-rate", "unseen-weight"):
        assert f"finish-colours.{name}" in shown and f"warm-start.colours.{name}" not in shown


def test_every_kind_of_ray_has_a_share():
    """Rays are weighted by the inverse of their kind's share."""
    with pytest.raises(InputError, match=r"ray-shares 0\.0 is out of range"):
        check_bounds(HeadDataManagerConfig(ray_shares=(0.7, 0.3, 0.0)))


def test_no_training_asks_for_the_rays_of_all_photos_that_are_held_out():
    assert all(config.steps_per_eval_batch > 10**8 for config in METHODS.values())
