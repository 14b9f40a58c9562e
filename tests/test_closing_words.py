"""What a training says at its end, and what it does not say on its way."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from baseh3d_ns import cli, methods
from baseh3d_ns.quiet import quiet_libraries
from baseh3d_ns.training.agreement import Agreement, agreement
from baseh3d_ns.training.closing_words import closing_lines, ended_by, how_to_go_on


def test_six_lines_say_where_how_long_why_how_well_and_how_to_go_on():
    lines = closing_lines(Path("runs/r"), 125.4, 90, "with its last step", Agreement(3, 0.953, 24.26))
    assert [line.split()[0] for line in lines] == ["run", "time", "ended", "fits", "mesh", "look"]
    assert "0.953 IoU" in lines[3] and "24.3 dB" in lines[3] and "3 training photos" in lines[3]
    assert "baseh3d export --load-config runs/r " in lines[4]
    assert "runs/r" in lines[0] and "2 min 5 s, 90 steps" in lines[1]
    assert lines[5].endswith("ns-viewer --load-config runs/r/config.yml")


def test_the_end_is_planned_or_by_hand(tmp_path):
    assert "planned" in ended_by(100, 100, "")
    go_on = how_to_go_on(tmp_path, "idr")
    assert "started again" in go_on and go_on in ended_by(50, 100, go_on)
    (tmp_path / "step-000000049.ckpt").touch()
    assert "from step 50" in how_to_go_on(tmp_path, "idr") and "ns-train idr" in how_to_go_on(tmp_path, "idr")


@pytest.fixture(scope="module")
def pipeline(tiny_root):
    torch.manual_seed(0)  # how round an untrained head is, and so its agreement, is chance
    config = deepcopy(methods.baseh3d_fast.config.pipeline)
    config.datamanager.data, config.datamanager.dataparser.scene = tiny_root, "scan0"
    config.model.grid_cells = 24
    return config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)


def test_agreement_is_what_ns_eval_says_of_the_training_photos(pipeline):
    model, dataset = pipeline.model.eval(), pipeline.datamanager.train_dataset
    found = agreement(model, dataset)
    scores = []
    for view in range(len(dataset)):
        batch = {name: value for name, value in dataset[view].items() if isinstance(value, torch.Tensor)}
        pictures = model.get_outputs_for_camera(dataset.cameras[view : view + 1])
        scores.append(model.get_image_metrics_and_images(pictures, batch)[0])
    assert found.views == len(dataset) == 3
    assert found.mask_iou == pytest.approx(sum(score["mask_iou"] for score in scores) / 3, abs=1e-4)
    assert found.psnr_db == pytest.approx(sum(score["psnr"] for score in scores) / 3, abs=0.01)
    assert 0.1 < found.mask_iou < 0.99


def test_agreement_takes_the_cameras_as_they_were_refined(pipeline):
    model, dataset = pipeline.model, pipeline.datamanager.train_dataset
    before = agreement(model, dataset).mask_iou
    with torch.no_grad():
        model.views.pose[0, 0] += 60.0
    moved = agreement(model, dataset).mask_iou
    with torch.no_grad():
        model.views.pose[0, 0] -= 60.0
    assert abs(moved - before) > 0.02


@pytest.mark.parametrize(
    ("message", "kind", "module", "shown"),
    [
        ("`torch.cuda.amp.GradScaler(args...)` is deprecated.", FutureWarning, "nerfstudio.engine.trainer", False),
        ("Using a non-tuple sequence for multidimensional indexing", UserWarning, "nerfstudio.cameras.cameras", False),
        ("Converting a tensor with requires_grad=True to a scalar", UserWarning, "nerfstudio.utils.writer", False),
        ("Converting a tensor with requires_grad=True to a scalar", UserWarning, "somebody.elses", True),
        ("your photos are upside down", UserWarning, "nerfstudio.cameras.cameras", True),
    ],
)
def test_only_warnings_that_nobody_can_act_on_are_kept_from_the_log(message, kind, module, shown):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_libraries()
        warnings.warn_explicit(message, kind, "file.py", 1, module=module)
    assert len(caught) == shown


def test_the_commands_keep_them_from_the_log_too(monkeypatch):
    message, module = "Using a non-tuple sequence for multidimensional indexing", "nerfstudio.cameras.cameras"
    monkeypatch.setattr("sys.argv", ["baseh3d", "models"])
    monkeypatch.setattr(
        cli.Models, "main", lambda _: warnings.warn_explicit(message, UserWarning, "file.py", 1, module)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cli.entrypoint()
    assert not caught
