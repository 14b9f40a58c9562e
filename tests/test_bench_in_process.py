"""Trainings stepped by hand, and the cost of meshing, as scripts measure them."""

from __future__ import annotations

import pytest
import torch
from tiny_root import SCENE

from baseh3d_ns.benchmark import machine
from baseh3d_ns.benchmark.in_process import configure, curve, run, start
from baseh3d_ns.benchmark.mesh_speed import measure_meshing
from baseh3d_ns.benchmark.training import train
from baseh3d_ns.evaluation import quick_score
from baseh3d_ns.frames import SceneFrame

PARSER = {"scene": SCENE, "views": "3"}
QUICK = {
    "register": False,
    "warm-start.colours.steps": 5,
    "finish-colours.steps": 2,
    "finish-colours.batches": 1,
    "warm-start.latent.steps": 5,
    "warm-start.colours.batches": 4,
    "warm-start.grid-cells": 24,
    "pipeline.model.grid-cells": 24,
    "pipeline.datamanager.train-num-rays-per-batch": 64,
}


@pytest.fixture(autouse=True)
def coarse_scores(monkeypatch):
    """A score of an ellipsoid needs no fine mesh."""
    monkeypatch.setattr(quick_score, "SPACING_MM", 6.0)


def test_a_fit_is_stepped_counted_and_scored(tiny_root, tmp_path):
    options = {"data": tiny_root, "epochs": 4, **QUICK}
    fit = start(configure("baseh3d-fast", tmp_path, options, PARSER))
    before = [parameter.detach().clone() for parameter in fit.trainer.pipeline.model.field.parameters()]
    stretch = run(fit, 5)
    assert (stretch.steps, fit.step) == (5, 5) and stretch.evaluations > 5 * 64 and stretch.seconds > 0
    after = fit.trainer.pipeline.model.field.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    points = curve(fit, [6, 100, 200])
    assert [point.step for point in points] == [6, 12], "the training has 12 steps"
    assert 0 < points[0].face_mm < 60 and points[1].seconds > points[0].seconds > fit.start_s
    assert run(fit, 1).steps == 0 and not list(tmp_path.rglob("*.ckpt"))


def test_stepped_by_hand_or_not_the_head_is_the_same(tiny_root, tmp_path):
    options = {"data": tiny_root, "epochs": 2, **QUICK}
    by_hand = start(configure("baseh3d-fast", tmp_path / "a", options, PARSER, seed=3))
    run(by_hand, 6)
    from baseh3d_ns.benchmark.commands import arguments

    trained = train(arguments("baseh3d-fast", tmp_path / "b", 3, options, PARSER), (0.5,))
    assert trained.steps == 6 and [point.step for point in trained.curve] == [3, 6]
    fields = [one.pipeline.model.field.state_dict() for one in (by_hand.trainer, trained.trainer)]
    assert all(torch.equal(value, fields[1][name]) for name, value in fields[0].items())


@pytest.mark.parametrize("dense", [True, False])
def test_meshing_is_measured_against_the_whole_lattice(dense):
    frame = SceneFrame((0.0, 0.0, 0.0), 100.0)
    line = measure_meshing(lambda points: points.norm(dim=-1) - 0.5, frame, torch.device("cpu"), 32, dense)
    assert line["spacing mm"] == 6.25 and line["vertices"] > 100 and line["ns-export s"] is None
    if dense:
        assert line["farthest vertex mm"] < 0.01 and line["dense million evaluations"] > line["million evaluations"]
    else:
        assert line["farthest vertex mm"] is line["dense s"] is None


def test_the_machine_is_named(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name\t: A  CPU of 3 GHz\nmodel name\t: another\n")
    monkeypatch.setattr(machine, "CPU_INFO", info)
    assert machine.cpu_name() == "A CPU of 3 GHz"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device = machine.device_name()
    assert device.endswith(" cores)") and "(A CPU of 3 GHz, " in device
    assert machine.same_kind(device) == device.split(" (A")[0] != device
