"""Priors: one file, every source, and nothing executed from a file somebody sent."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import (
    HeadPrior,
    apply_prior,
    carry_optimizer,
    check_carries_on,
    prior_names,
    prior_of_field,
    save_prior,
)
from baseh3d_ns.heads.readers import load_prior

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
    save_prior(path, prior_of_field(field, FRAME, PROVENANCE, adam))
    return path, field, adam


def same_sdf(a, b):
    with torch.no_grad():
        torch.testing.assert_close(a.sdf(POINTS), b.sdf(POINTS), rtol=0, atol=0)


def test_round_trip(prior_file):
    path, field, adam = prior_file
    prior = load_prior(path)
    assert prior.frame == FRAME and prior.provenance == PROVENANCE and prior.adam_steps == 2
    other = SMALL.setup()
    used = apply_prior(prior, other, path)
    assert len(used) == len(list(field.parameters()))
    same_sdf(field, other)
    fresh = torch.optim.Adam(other.parameters(), lr=1e-3)
    check_carries_on(prior, SMALL, path)
    carry_optimizer(prior, other, fresh)
    for (_, mine), (_, theirs) in zip(prior_names(field), prior_names(other), strict=True):
        torch.testing.assert_close(adam.state[mine]["exp_avg_sq"], fresh.state[theirs]["exp_avg_sq"])
        assert float(fresh.state[theirs]["step"]) == 2.0
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_a_run_folder_and_its_config_mean_its_newest_prior(prior_file):
    path, field, _ = prior_file
    (path.parent / "config.yml").write_text("not read")
    for source in (path.parent, path.parent / "config.yml"):
        other = SMALL.setup()
        apply_prior(load_prior(source), other, source)
        same_sdf(field, other)


def test_an_original_idr_checkpoint(tmp_path):
    field, _ = trained_field()
    names = {"sdf.": "implicit_network.", "colour.": "rendering_network."}
    state = {}
    for name, parameter in prior_names(field):
        for ours, idr in names.items():
            if name.startswith(ours):
                state[idr + name[len(ours) :]] = parameter.detach()
    path = tmp_path / "2000.pth"
    torch.save({"epoch": 2000, "model_state_dict": state}, path)
    prior, other = load_prior(path), SMALL.setup()
    apply_prior(prior, other, path)
    same_sdf(field, other)
    assert prior.provenance["epochs"] == 2000 and prior.frame is None
    with pytest.raises(InputError, match="carry-optimizer"):
        check_carries_on(prior, SMALL, path)


def test_another_architecture_is_named(prior_file):
    wider = HeadFieldConfig(sdf=SdfNetworkConfig(layers=8, width=96, features=8), colour=SMALL.colour)
    with pytest.raises(InputError, match=r"4 x 64 .* 8 x 96"):
        apply_prior(load_prior(prior_file[0]), wider.setup(), prior_file[0])
    other_skip = HeadFieldConfig(
        sdf=SdfNetworkConfig(layers=4, width=64, skip_layer=3, features=8), colour=SMALL.colour
    )
    with pytest.raises(InputError, match="does not fit"):
        apply_prior(load_prior(prior_file[0]), other_skip.setup(), prior_file[0])


def complaint(path) -> str:
    with pytest.raises(InputError) as caught:
        load_prior(path)
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
    assert "not a head prior" in complaint(other)
    assert "no such prior" in complaint(tmp_path / "nowhere.safetensors")
    note = tmp_path / "note.txt"
    note.write_text("hello")
    assert "not a prior" in complaint(note)
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
    with pytest.raises(OSError):
        save_prior(path, HeadPrior(weights={"sdf.lin0.weight_v": torch.zeros(2, 2)}, provenance={}))
    assert path.read_bytes() == before
