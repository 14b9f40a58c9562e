"""Priors: one file, every source, and nothing executed from a file somebody sent."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from baseh3d_ns.commands.heads import Export
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import Head, save_head
from baseh3d_ns.heads.networks import (
    adam_moments,
    carry_optimizer,
    check_carries_on,
    field_config,
    field_of_head,
    load_weights,
    named_parameters,
    weights_of_field,
)
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.heads.readers import open_head

SMALL = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=4, width=64, skip_layer=2, features=8), colour=ColourNetworkConfig(layers=2, width=16)
)
FRAME = SceneFrame(centre_mm=(1.0, -2.5, 30.0), radius_mm=217.25)
PROVENANCE = {"scene": "00aa", "views": [0, 4], "epochs": 12, "seed": 3, "date": "2026-11-21"}
POINTS = torch.rand(50, 3) - 0.5


def trained_field():
    """A field that has taken two Adam steps, and its optimiser."""
    field = SMALL.setup()
    adam = torch.optim.Adam(field.parameters(), lr=1e-3)
    for _ in range(2):
        adam.zero_grad()
        colour = field.colour_network(POINTS, POINTS, POINTS, field.sdf_network(POINTS)[:, 1:])
        (field.sdf(POINTS).square().sum() + colour.sum()).backward()
        adam.step()
    return field, adam


@pytest.fixture
def prior_file(tmp_path):
    field, adam = trained_field()
    path = tmp_path / "prior-000012.safetensors"
    moments, steps = adam_moments(field, adam)
    save_head(path, Head(weights_of_field(field), PROVENANCE, FRAME, moments=moments, adam_steps=steps))
    return path, field, adam


def same_sdf(a, b):
    with torch.no_grad():
        torch.testing.assert_close(a.sdf(POINTS), b.sdf(POINTS), rtol=0, atol=0)


def test_round_trip(prior_file):
    path, field, adam = prior_file
    prior = open_head(path)
    assert prior.frame == FRAME and prior.provenance == PROVENANCE and prior.adam_steps == 2
    other = SMALL.setup()
    load_weights(prior, other, path)
    assert len(prior.weights) == len(list(field.parameters()))
    same_sdf(field, other)
    fresh = torch.optim.Adam(other.parameters(), lr=1e-3)
    check_carries_on(prior, SMALL, path)
    carry_optimizer(prior, other, fresh)
    for (_, mine), (_, theirs) in zip(named_parameters(field), named_parameters(other), strict=True):
        torch.testing.assert_close(adam.state[mine]["exp_avg_sq"], fresh.state[theirs]["exp_avg_sq"])
        assert float(fresh.state[theirs]["step"]) == 2.0
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_a_run_folder_and_its_config_mean_its_newest_prior(prior_file):
    path, field, _ = prior_file
    (path.parent / "config.yml").write_text("not read")
    for source in (path.parent, path.parent / "config.yml"):
        other = SMALL.setup()
        load_weights(open_head(source), other, source)
        same_sdf(field, other)


def test_everything_that_a_head_file_records_comes_back(tmp_path):
    field, _ = trained_field()
    views = {"pose": torch.randn(3, 6), "focal": torch.randn(3)}
    head = Head(weights_of_field(field), PROVENANCE, FRAME, torch.randn(3, 3), views)
    save_head(tmp_path / "head.safetensors", head)
    again = open_head(tmp_path)
    assert again.provenance == head.provenance and again.frame == FRAME and not again.moments
    torch.testing.assert_close(again.camera_centres, head.camera_centres, rtol=0, atol=0)
    torch.testing.assert_close(again.view_corrections, views, rtol=0, atol=0)
    same_sdf(field_of_head(again, tmp_path), field)
    assert again.latents is None
    weights, latents = {**head.weights, "latent": torch.randn(4)}, torch.randn(5, 4)
    save_head(tmp_path / "head.safetensors", replace(head, weights=weights, latents=latents))
    torch.testing.assert_close(open_head(tmp_path).latents, latents, rtol=0, atol=0)


def test_a_prior_of_0_1_still_opens(prior_file, tmp_path):
    """Its format had another name and no cameras."""
    with safe_open(prior_file[0], framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = {**file.metadata(), "format": "baseh3d-prior-1"}
    save_file(tensors, tmp_path / "old.safetensors", metadata=metadata)
    head = open_head(tmp_path / "old.safetensors")
    assert head.camera_centres is None and head.provenance == PROVENANCE and head.moments


def test_an_original_idr_checkpoint(tmp_path):
    field, _ = trained_field()
    names = {"sdf.": "implicit_network.", "colour.": "rendering_network."}
    state = {}
    for name, parameter in named_parameters(field):
        for ours, idr in names.items():
            if name.startswith(ours):
                state[idr + name[len(ours) :]] = parameter.detach()
    path = tmp_path / "2000.pth"
    torch.save({"epoch": 2000, "model_state_dict": state}, path)
    prior, other = open_head(path), SMALL.setup()
    load_weights(prior, other, path)
    same_sdf(field, other)
    assert prior.provenance["epochs"] == 2000 and prior.frame is None
    with pytest.raises(InputError, match="carry-optimizer"):
        check_carries_on(prior, SMALL, path)


def test_another_architecture_is_named(prior_file):
    wider = HeadFieldConfig(sdf=SdfNetworkConfig(layers=8, width=96, features=8), colour=SMALL.colour)
    with pytest.raises(InputError, match=r"4 x 64 .* 8 x 96"):
        load_weights(open_head(prior_file[0]), wider.setup(), prior_file[0])
    other_skip = HeadFieldConfig(
        sdf=SdfNetworkConfig(layers=4, width=64, skip_layer=3, features=8), colour=SMALL.colour
    )
    with pytest.raises(InputError, match="does not fit"):
        load_weights(open_head(prior_file[0]), other_skip.setup(), prior_file[0])


@pytest.mark.parametrize(("layers", "skip"), [(4, 4), (4, 2), (4, 0), (1, 1)])
@pytest.mark.parametrize("latent", [0, 5])
def test_sizes_of_networks_are_read_from_their_weights(layers, skip, latent):
    """A skip to the last layer brings the latent in there."""
    sdf = SdfNetworkConfig(layers=layers, width=64, skip_layer=skip, features=8, latent=latent)
    config = replace(SMALL, sdf=sdf)
    assert replace(field_config(weights_of_field(config.setup()), latent).sdf, sphere_radius=sdf.sphere_radius) == sdf


def complaint(path) -> str:
    with pytest.raises(InputError) as caught:
        open_head(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_files(prior_file, tmp_path):
    good = prior_file[0].read_bytes()
    cut = tmp_path / "cut.safetensors"
    for size in (0, 7, 300, len(good) - 5):
        cut.write_bytes(good[:size])
        assert "cut.safetensors is truncated" in complaint(cut)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, other)
    assert "not a head file" in complaint(other)
    assert "no such file or folder" in complaint(tmp_path / "nowhere.safetensors")
    note = tmp_path / "note.txt"
    note.write_text("hello")
    assert "holds no head" in complaint(note)
    (tmp_path / "empty").mkdir()
    assert "neither" in complaint(tmp_path / "empty")
    torch.save({"unrelated": torch.zeros(1)}, tmp_path / "x.pth")
    assert "no IDR checkpoint" in complaint(tmp_path / "x.pth")
    torch.save({"pipeline": {"_model.other": torch.zeros(1)}, "step": 3}, tmp_path / "step-000000003.ckpt")
    assert "another method" in complaint(tmp_path / "step-000000003.ckpt")
    for name in ("cut.pth", "cut.ckpt"):
        (tmp_path / name).write_bytes((tmp_path / "x.pth").read_bytes()[:200])
        assert "truncated" in complaint(tmp_path / name)


@pytest.mark.parametrize("suffix", ["pth", "ckpt"])
def test_a_pickle_that_would_execute_code_does_not(tmp_path, suffix):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/pwned",)

    path = tmp_path / f"evil.{suffix}"
    torch.save({"model_state_dict": Evil()}, path)
    assert "execute code" in complaint(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    complaint(path)
    assert not (tmp_path / "pwned").exists()


def test_a_failed_save_leaves_the_old_file(prior_file, monkeypatch):
    path, before = prior_file[0], prior_file[0].read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="prior-000012.safetensors cannot be written"):
        save_head(path, Head(weights={"sdf.lin0.weight_v": torch.zeros(2, 2)}, provenance={}))
    assert path.read_bytes() == before


def save_damaged(prior_file, path, tensors=None, **metadata) -> None:
    """The prior's file with other tensors (None: left out) and metadata."""
    with safe_open(prior_file[0], framework="pt") as file:
        every = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        known = {**file.metadata(), **metadata}
    changed = {name: tensor for name, tensor in {**every, **(tensors or {})}.items() if tensor is not None}
    save_file(changed, path, metadata=known)


WEIGHT, NAN = "sdf.lin0.weight_v", torch.nan
LATENTS = {"latent": torch.zeros(4), "latents": torch.zeros(6, 5)}


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({WEIGHT: torch.full((64, 39), NAN)}, {}, "'sdf.lin0.weight_v' is not finite"),
        ({WEIGHT: torch.zeros(64)}, {}, "is no matrix"),
        ({WEIGHT: torch.zeros(64, 39)}, {}, "'sdf.lin0.weight_v' has a row of zeros"),
        ({WEIGHT: torch.zeros(64, 39, dtype=torch.int32)}, {}, "are no real numbers"),
        ({"sdf.lin0.bias": torch.zeros(3, 3)}, {}, "is no vector"),
        ({"placement.similarity": torch.zeros(6)}, {}, "a similarity 7"),
        (LATENTS, {}, "its latents are 6 x 5, its mean head's 4 numbers"),
        ({"latents": torch.zeros(6, 5)}, {}, "its mean head's none"),
        ({"exp_avg.sdf.lin0.bias": torch.zeros(5)}, {}, "fits none of its weights"),
        ({"cameras.centres": torch.full((2, 3), NAN)}, {}, "'cameras.centres' is not finite"),
        ({"views.pose": torch.full((2, 6), torch.inf)}, {}, "'pose' is not finite"),
        ({}, {"frame": '{"centre_mm": [0, 0, NaN], "radius_mm": 200}'}, "centre of its unit frame"),
        ({}, {"frame": '{"centre_mm": [1e30, 0, 0], "radius_mm": 200}'}, "centre of its unit frame"),
        ({}, {"frame": '{"centre_mm": [0, 0, 0], "radius_mm": 0}'}, "radius of its unit frame is 0 mm"),
        ({}, {"frame": '{"centre_mm": [0, 0, 0], "radius_mm": NaN}'}, "radius of its unit frame is nan mm"),
        ({}, {"frame": '{"centre_mm": [0, 0], "radius_mm": 200}'}, "lacks what a head file records"),
        ({}, {"frame": "0"}, "lacks what a head file records"),
        ({}, {"frame": "[1, 2]"}, "lacks what a head file records"),
        ({}, {"provenance": "[1, 2]"}, "its provenance is no table"),
        ({}, {"provenance": '"text"'}, "its provenance is no table"),
        ({}, {"provenance": "{"}, "lacks what a head file records"),
        ({}, {"provenance": 100_000 * "["}, "lacks what a head file records"),
        ({}, {"provenance": '{"warnings": 3}'}, "'warnings' in its provenance is '3'"),
        ({}, {"provenance": '{"load_prior": []}'}, "'load_prior' in its provenance is '[]'"),
        ({}, {"provenance": '{"colours_finished": 1}'}, "'colours_finished' in its provenance is '1'"),
        ({}, {"provenance": '{"steps": true}'}, "'steps' in its provenance is 'True'"),
        ({}, {"provenance": '{"epochs": "many"}'}, "'epochs' in its provenance is 'many'"),
        ({}, {"provenance": '{"epochs": NaN}'}, "'epochs' in its provenance is nan"),
        ({}, {"provenance": '{"views": 3}'}, "'views' in its provenance is '3'"),
        ({}, {"provenance": '{"data": 3}'}, "'data' in its provenance is '3'"),
        ({}, {"adam_steps": "-1"}, "has taken -1 steps"),
        ({}, {"adam_steps": "x"}, "lacks what a head file records"),
    ],
)
def test_a_damaged_head_file_is_a_sentence(prior_file, tmp_path, tensors, metadata, said):
    save_damaged(prior_file, tmp_path / "damaged.safetensors", tensors, **metadata)
    assert said in complaint(tmp_path / "damaged.safetensors")
    assert "damaged.safetensors" in complaint(tmp_path / "damaged.safetensors")


@pytest.mark.parametrize("size", [2, 3, 36, 39])
def test_latents_of_another_size_than_the_network_are_a_sentence(prior_file, tmp_path, size):
    save_damaged(prior_file, tmp_path / "x.safetensors", {"latent": torch.zeros(size), "latents": torch.zeros(6, size)})
    head = open_head(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=f"latent of {size} numbers|does not fit|this method has"):
        field_of_head(head, tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "missing", ["sdf.lin1.weight_v", "sdf.lin4.weight_v", "colour.lin0.weight_v", "colour.lin2.bias"]
)
def test_a_head_without_a_layer_is_a_sentence(prior_file, tmp_path, missing):
    others = {f"{moment}.{missing}": None for moment in ("exp_avg", "exp_avg_sq")}
    save_damaged(prior_file, tmp_path / "x.safetensors", {missing: None, **others})
    with pytest.raises(InputError, match="x.safetensors"):
        field_of_head(open_head(tmp_path / "x.safetensors"), tmp_path / "x.safetensors")


def test_an_optimiser_that_lacks_a_moment_is_not_carried_on(prior_file, tmp_path):
    save_damaged(prior_file, tmp_path / "x.safetensors", {"exp_avg.sdf.lin0.bias": None})
    with pytest.raises(InputError, match="carry-optimizer"):
        check_carries_on(open_head(tmp_path / "x.safetensors"), SMALL, tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "state",
    [
        {"step": 3, "pipeline": {1: torch.zeros(1)}},
        {"step": 3, "pipeline": {"_model.field.x": 1, "_model.frame_mm": torch.ones(4)}},
        {"step": 3, "pipeline": {"_model.field.x": torch.ones(1), "_model.frame_mm": torch.full((4,), NAN)}},
        {
            "step": 3,
            "pipeline": {
                "_model.field.x": torch.ones(1),
                "_model.frame_mm": torch.ones(4),
                "_model.latents": torch.ones(3),
            },
        },
        {"model_state_dict": {"implicit_network.lin0.weight_v": "text"}},
        {"model_state_dict": {"implicit_network.lin0.weight_v": torch.zeros(3)}},
        {"model_state_dict": {"implicit_network.lin0.weight_v": torch.zeros(3, 3)}, "epoch": "x"},
    ],
)
@pytest.mark.parametrize("suffix", ["ckpt", "pth"])
def test_odd_checkpoints_are_sentences(tmp_path, state, suffix):
    torch.save(state, tmp_path / f"odd.{suffix}")
    assert f"odd.{suffix}" in complaint(tmp_path / f"odd.{suffix}")


def test_a_run_folder_from_windows_is_read_without_its_config(prior_file, tmp_path):
    """nerfstudio writes paths as objects that no other system can make; a head file needs none of them."""
    config = "!!python/object:baseh3d_ns.training.few_shot.FewShotTrainerConfig\ndata: "
    config += "!!python/object/apply:pathlib.WindowsPath\n- 'C:\\'\n- data\n"
    (tmp_path / "config.yml").write_text(config)
    save_head(tmp_path / "head.safetensors", open_head(prior_file[0]))
    for source in (tmp_path, tmp_path / "config.yml"):
        command = Export(load_config=source, output=tmp_path / f"{source.name}.ply", spacing_mm=20.0)
        command.main()
        assert command.output.is_file()


@pytest.mark.parametrize("option", [{"data": Path("photos")}, {"scene": "scan0"}])
@pytest.mark.parametrize("name", ["head.ply", "head.glb"])
def test_photos_of_a_checkpoint_are_refused_as_it_does_not_know_its_views(tmp_path, name, option):
    pipeline = {f"_model.field.{key}": tensor for key, tensor in trained_field()[0].state_dict().items()}
    pipeline["_model.frame_mm"] = torch.tensor([*FRAME.centre_mm, FRAME.radius_mm])
    torch.save({"step": 3, "pipeline": pipeline}, tmp_path / "step-000000003.ckpt")
    export = Export(load_config=tmp_path / "step-000000003.ckpt", output=tmp_path / name, spacing_mm=20.0, **option)
    with pytest.raises(InputError, match=r"step-000000003\.ckpt does not record its training views, so --data and"):
        export.main()
    assert not export.output.exists()


def test_what_the_command_says_of_the_photos_counts_more_than_the_file(tmp_path):
    head = Head(weights={}, provenance={"data": "recorded", "scene": "scan0"})
    assert OpenedHead(head, tmp_path).scene_named() == (Path("recorded"), "scan0")
    assert OpenedHead(head, tmp_path, Path("said"), "scan1").scene_named() == (Path("said"), "scan1")
    with pytest.raises(InputError, match="its scene: pass --data ROOT --scene NAME, or the folder of"):
        OpenedHead(Head(weights={}, provenance={}), tmp_path, Path("said")).scene_named()
