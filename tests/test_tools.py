"""Every nerfstudio tool and our own commands open a trained run."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from processes import begin, call
from tiny_root import CENTRE_MM, SEMI_AXES_MM


def test_ns_eval(fit_run, tmp_path):
    call("ns-eval", "--load-config", fit_run.config, "--output-path", tmp_path / "eval.json")
    results = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert {"psnr", "ssim", "mask_iou"} <= results.keys() and 0.3 < results["mask_iou"] <= 1.0


CAMERA_PATH = {
    "camera_type": "perspective",
    "render_height": 24,
    "render_width": 24,
    "fps": 2,
    "seconds": 1,
    "is_cycle": False,
    "camera_path": [
        {"camera_to_world": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, z, 0, 0, 0, 1], "fov": 45, "aspect": 1} for z in (3, 3.5)
    ],
}


@pytest.mark.parametrize("kind", ["interpolate", "spiral", "camera-path", "dataset"])
def test_ns_render(kind, fit_run, tmp_path):
    options = {
        "interpolate": ["--interpolation-steps", 2, "--output-format", "images"],
        "spiral": ["--seconds", 0.1, "--output-format", "images"],
        "camera-path": ["--camera-path-filename", tmp_path / "path.json", "--output-format", "images"],
        "dataset": ["--split", "test"],
    }[kind]
    (tmp_path / "path.json").write_text(json.dumps(CAMERA_PATH))
    call("ns-render", kind, "--load-config", fit_run.config, "--output-path", tmp_path / "out", *options)
    assert [*(tmp_path / "out").rglob("*.jpg"), *(tmp_path / "out").rglob("*.png")]


def test_ns_render_of_smaller_photos_with_alpha(fit_run, tmp_path):
    options = ["--split", "test", "--downscale-factor", 2, "--image-format", "png", "--rendered-output-names", "rgba"]
    call("ns-render", "dataset", "--load-config", fit_run.config, "--output-path", tmp_path / "out", *options)
    pictures = [Image.open(path) for path in (tmp_path / "out").rglob("*.png")]
    assert {(picture.size, picture.mode) for picture in pictures} == {((24, 24), "RGBA")}


@pytest.mark.parametrize(
    ("kind", "options", "written"),
    [
        (
            "pointcloud",
            ["--num-points", 3000, "--num-rays-per-batch", 2048, "--save-world-frame", "True"],
            "point_cloud.ply",
        ),
        ("tsdf", ["--resolution", 48, "--texture-method", "tsdf", "--downscale-factor", 1], "tsdf_mesh.ply"),
        (
            "poisson",
            ["--num-points", 3000, "--num-rays-per-batch", 2048, "--texture-method", "point_cloud"],
            "poisson_mesh.ply",
        ),
        ("cameras", [], "transforms_train.json"),
    ],
)
def test_ns_export(kind, options, written, fit_run, tmp_path):
    call("ns-export", kind, "--load-config", fit_run.config, "--output-dir", tmp_path, *options)
    assert (tmp_path / written).stat().st_size > 0
    if kind == "pointcloud":
        points = trimesh.load(tmp_path / written).vertices
        # Twelve steps from a sphere-like prior: within the ellipsoid's rough size, and in millimetres round its centre.
        assert np.abs(points - CENTRE_MM).max() < 150.0 and np.ptp(points, axis=0).min() > SEMI_AXES_MM.min()


def test_the_exporters_contract_for_marching_cubes(fit_run):
    """`ns-export marching-cubes` itself calls .cuda(); what it asks of a model is checked here."""
    from nerfstudio.utils.eval_utils import eval_setup

    model = eval_setup(fit_run.config)[1].model
    assert hasattr(model.config, "sdf_field")
    points = (torch.rand(7, 3) - 0.5).to(model.device)
    torch.testing.assert_close(model.field.forward_geonetwork(points)[:, 0], model.field.sdf(points))


def test_ns_viewer_serves(fit_run, tmp_path):
    port, log = 17007 + os.getpid() % 1000, tmp_path / "log.txt"
    process = begin("ns-viewer", "--load-config", fit_run.config, "--viewer.websocket-port", port, output=str(log))
    try:
        status, deadline = None, time.monotonic() + 120
        while status is None and time.monotonic() < deadline and process.is_alive():
            try:
                status = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).status
            except OSError:
                time.sleep(0.2)
    finally:
        process.kill()
        process.join()
    assert status == 200, log.read_text()[-2000:]


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_baseh3d_export_is_watertight_and_metric(suffix, fit_run, tmp_path):
    path = tmp_path / f"head.{suffix}"
    words = ["export", "--load-config", fit_run.config, "--output", path, "--spacing-mm", 3.0]
    words += ["--texture-size", 512] if suffix == "glb" else []
    text = call("baseh3d", *words)
    assert re.search(r"\d+ x \d+ x \d+ mm", text)
    mesh = trimesh.load(path, force="mesh")
    mesh.merge_vertices(merge_tex=True, merge_norm=True)  # a texture parts vertices at its charts' edges
    assert mesh.is_watertight and mesh.volume > 0
    millimetres = mesh.extents * (1000.0 if suffix == "glb" else 1.0)
    assert (millimetres > 60).all() and (millimetres < 300).all()
    before = path.read_bytes()
    again = call("baseh3d", *words, fails=True)
    assert "exists already" in again and path.read_bytes() == before


def test_baseh3d_evaluate(fit_run, tmp_path):
    arguments = ["--load-config", fit_run.config, "--output-dir", tmp_path / "e", "--spacing-mm", 3.0]
    text = call("baseh3d", "evaluate", *arguments)
    assert re.search(r"face \d+\.\d+ mm, head \d+\.\d+ mm", text)
    assert re.search(r"what is shown: \d+\.\d+ mm over the \d+ % of the scan's face", text)
    files = {path.name for path in (tmp_path / "e").iterdir()}
    assert files == {"evaluation.json", "evaluation.png", "error_heatmap.ply", "head.ply"}
    recorded = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    with Image.open(tmp_path / "e" / "evaluation.png") as picture:
        assert picture.height < picture.width  # three sides, not every view
    assert recorded["provenance"]["method"] == "baseh3d-fast" and recorded["provenance"]["views"] == [2, 0, 4]
    assert 0.0 < recorded["official"]["face_mm"] < 60.0
