"""Every method trains, every nerfstudio tool opens the result, a killed run resumes: as processes, as a user would."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from tiny_root import CENTRE_MM, SCENE, SEMI_AXES_MM

BIN = Path(sys.executable).parent
QUIET = {**os.environ, "PYTHONWARNINGS": "ignore", "COLUMNS": "300", "MPLBACKEND": "Agg"}
SMALL = [
    "--pipeline.datamanager.train-num-rays-per-batch", "64", "--vis", "tensorboard",
    "--steps-per-eval-image", "100000", "--steps-per-eval-batch", "5",
]  # fmt: skip


def call(tool: str, *arguments: object, fails: bool = False) -> str:
    """Run a command; its output (stdout and stderr), after checking how it ended."""
    done = subprocess.run(
        [BIN / tool, *map(str, arguments)],
        env=QUIET,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert (done.returncode != 0) == fails, done.stdout[-3000:]
    return done.stdout


def train(method: str, root: Path, out: Path, *options: object, views: str = "3", fails: bool = False) -> str:
    arguments = [*SMALL, "--output-dir", out, "--experiment-name", "t", "--timestamp", "t", "--data", root, *options]
    return call("ns-train", method, *arguments, "h3ds-data", "--scene", SCENE, "--views", views, fails=fails)


@dataclass
class Trained:
    out: Path
    root: Path
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yml"


@pytest.fixture(scope="session")
def prior_run(tiny_root, tmp_path_factory) -> Trained:
    """A pre-training of 40 steps: five views, eight epochs, snapshots on the way."""
    out = tmp_path_factory.mktemp("prior")
    train("baseh3d-fast-prior", tiny_root, out, "--epochs", 8, "--snapshot-epochs", 2, 4, views="all")
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast-prior" / "t")


@pytest.fixture(scope="session")
def fit_run(tiny_root, prior_run, tmp_path_factory) -> Trained:
    """A fit of 12 steps from that prior."""
    out = tmp_path_factory.mktemp("fit")
    text = train("baseh3d-fast", tiny_root, out, "--epochs", 4, "--load-prior", prior_run.folder)
    assert "prior-000008.safetensors" in text and re.search(r"all \d+\s+tensors", text)
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast" / "t")


def checkpoint(run: Trained) -> Path:
    (only,) = (run.folder / "nerfstudio_models").iterdir()
    return only


def test_priors_are_written_at_the_epochs_asked_for_and_at_the_end(prior_run):
    names = sorted(path.name for path in prior_run.folder.glob("prior-*"))
    assert names == ["prior-000002.safetensors", "prior-000004.safetensors", "prior-000008.safetensors"]
    shown = call("baseh3d", "prior", prior_run.folder / names[1])
    assert "4 x 128" in shown and SCENE in shown and re.search(r"epochs\s+: 4", shown) and "steps" in shown


def test_epochs_times_views_are_the_steps(prior_run, fit_run):
    assert checkpoint(prior_run).name == "step-000000039.ckpt" and checkpoint(fit_run).name == "step-000000011.ckpt"


def test_checkpoints_load_with_torchs_safe_default(fit_run):
    state = torch.load(checkpoint(fit_run), weights_only=True)
    assert state["step"] == 11 and isinstance(state["schedulers"]["fields"]["_last_lr"][0], float)


@pytest.mark.parametrize("method", ["idr", "baseh3d-prior"])
def test_ten_steps_of_the_full_size_methods(method, tiny_root, tmp_path):
    train(method, tiny_root, tmp_path, "--max-num-iterations", 10)
    assert (tmp_path / "t" / method / "t" / "nerfstudio_models" / "step-000000009.ckpt").is_file()
    if method == "baseh3d-prior":
        prior = next((tmp_path / "t" / method / "t").glob("prior-*.safetensors"))
        train(
            "baseh3d", tiny_root, tmp_path, "--max-num-iterations", 10, "--load-prior", prior, "--carry-optimizer", True
        )
        assert (tmp_path / "t" / "baseh3d" / "t" / "nerfstudio_models" / "step-000000009.ckpt").is_file()


def test_colours_first_leaves_the_priors_shape_alone(tiny_root, prior_run, tmp_path):
    from baseh3d_ns.priors.sources import load_prior

    options = ["--epochs", 2, "--load-prior", prior_run.folder, "--pipeline.model.colour-first", 1.0]
    train("baseh3d-fast", tiny_root, tmp_path, *options)
    before, after = load_prior(prior_run.folder), load_prior(tmp_path / "t" / "baseh3d-fast" / "t")
    moved = {
        name.split(".")[0] for name, tensor in before.weights.items() if not torch.equal(tensor, after.weights[name])
    }
    assert moved == {"colour"}


def test_a_killed_run_resumes_to_the_same_last_step(tiny_root, tmp_path):
    options = ["--epochs", 20, "--steps-per-save", 10]
    arguments = [
        *SMALL,
        "--output-dir",
        tmp_path,
        "--experiment-name",
        "t",
        "--timestamp",
        "t",
        "--data",
        tiny_root,
        *options,
    ]
    tail = ["h3ds-data", "--scene", SCENE, "--views", "all"]
    models = tmp_path / "t" / "baseh3d-fast-prior" / "t" / "nerfstudio_models"
    process = subprocess.Popen(
        [BIN / "ns-train", "baseh3d-fast-prior", *map(str, [*arguments, *tail])], env=QUIET, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not list(models.glob("step-*.ckpt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    saved = sorted(models.glob("step-*.ckpt"))[-1]
    first_step = torch.load(saved, weights_only=True)["step"]
    assert first_step < 99
    train("baseh3d-fast-prior", tiny_root, tmp_path / "2", *options, "--load-dir", models, views="all")
    (last,) = (tmp_path / "2" / "t" / "baseh3d-fast-prior" / "t" / "nerfstudio_models").iterdir()
    assert last.name == "step-000000099.ckpt" and torch.load(last, weights_only=True)["step"] == 99
    again = train(
        "baseh3d-fast-prior", tiny_root, tmp_path / "3", *options, "--load-dir", last.parent, views="all", fails=True
    )
    assert "already reached its last step 99" in again and "Traceback" not in again


def test_a_kill_while_saving_leaves_the_last_good_checkpoint(fit_run, monkeypatch, tmp_path):
    """torch.save dies half way: the folder stock tools look into never holds the half file."""
    from types import SimpleNamespace

    from baseh3d_ns.trainer import HeadTrainer

    good = checkpoint(fit_run).read_bytes()
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    (models / "step-000000011.ckpt").write_bytes(good)

    def dies(content, path):
        Path(path).write_bytes(good[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    trainer = HeadTrainer.__new__(HeadTrainer)
    trainer.config = SimpleNamespace(max_num_iterations=100, save_only_latest_checkpoint=True)
    trainer.base_dir, trainer.checkpoint_dir, trainer.local_rank = tmp_path, models, 0
    trainer.pipeline = torch.nn.Linear(1, 1)
    trainer.optimizers = SimpleNamespace(optimizers={}, schedulers={})
    trainer.grad_scaler = torch.amp.GradScaler("cpu", enabled=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(20)
    assert [path.name for path in models.iterdir()] == ["step-000000011.ckpt"]
    assert (models / "step-000000011.ckpt").read_bytes() == good


def test_ns_eval(fit_run, tmp_path):
    call("ns-eval", "--load-config", fit_run.config, "--output-path", tmp_path / "eval.json")
    results = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert {"psnr", "ssim", "mask_iou"} <= results.keys() and 0.3 < results["mask_iou"] <= 1.0


CAMERA_PATH = {
    "camera_type": "perspective", "render_height": 24, "render_width": 24, "fps": 2, "seconds": 1, "is_cycle": False,
    "camera_path": [
        {"camera_to_world": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, z, 0, 0, 0, 1], "fov": 45, "aspect": 1} for z in (3, 3.5)
    ],
}  # fmt: skip


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


def test_ns_viewer_serves(fit_run):
    port = 17007 + os.getpid() % 1000
    process = subprocess.Popen(
        [BIN / "ns-viewer", "--load-config", fit_run.config, "--viewer.websocket-port", str(port)], env=QUIET,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        status, deadline = None, time.monotonic() + 120
        while status is None and time.monotonic() < deadline and process.poll() is None:
            try:
                status = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).status
            except OSError:
                time.sleep(1.0)
    finally:
        process.kill()
        output = process.communicate()[0]
    assert status == 200, output[-2000:]


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_baseh3d_export_is_watertight_and_metric(suffix, fit_run, tmp_path):
    path = tmp_path / f"head.{suffix}"
    text = call("baseh3d", "export", "--load-config", fit_run.config, "--output", path, "--spacing-mm", 3.0)
    assert re.search(r"\d+ x \d+ x \d+ mm", text)
    mesh = trimesh.load(path, force="mesh")
    assert mesh.is_watertight and mesh.volume > 0
    millimetres = mesh.extents * (1000.0 if suffix == "glb" else 1.0)
    assert (millimetres > 60).all() and (millimetres < 300).all()
    before = path.read_bytes()
    again = call(
        "baseh3d", "export", "--load-config", fit_run.config, "--output", path, "--spacing-mm", 3.0, fails=True
    )
    assert "exists already" in again and path.read_bytes() == before


def test_baseh3d_evaluate(fit_run, tmp_path):
    arguments = ["--load-config", fit_run.config, "--output-dir", tmp_path / "e", "--spacing-mm", 3.0]
    text = call("baseh3d", "evaluate", *arguments)
    assert re.search(r"face \d+\.\d+ mm, head \d+\.\d+ mm", text)
    files = {path.name for path in (tmp_path / "e").iterdir()}
    assert files == {"evaluation.json", "evaluation.png", "error_heatmap.ply"}
    recorded = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    with Image.open(tmp_path / "e" / "evaluation.png") as picture:
        assert picture.height < picture.width  # three sides, not every view
    assert recorded["provenance"]["method"] == "baseh3d-fast" and recorded["provenance"]["views"] == [2, 0, 4]
    assert 0.0 < recorded["official"]["face_mm"] < 60.0


# ---- bad input: a sentence, exit code 1, no traceback, nothing written -----------------------------------------------


def refused(method: str, root: Path, out: Path, *options: object, views: str = "3") -> str:
    text = train(method, root, out, *options, views=views, fails=True)
    assert "Traceback" not in text and "Error: " in text, text[-2000:]
    assert not list(out.rglob("config.yml"))
    return text


def test_no_prior_is_said_before_anything_is_loaded(tiny_root, tmp_path):
    text = refused("baseh3d-fast", tiny_root, tmp_path / "o")
    assert "--load-prior" in text and "baseh3d-fast-prior" in text


def test_a_prior_of_another_architecture(tiny_root, prior_run, tmp_path):
    text = refused("baseh3d", tiny_root, tmp_path / "o", "--load-prior", prior_run.folder)
    assert "4 x 128" in text and "8 x 512" in text


def test_no_data(tmp_path):
    assert "no such data folder" in refused("idr", tmp_path / "nowhere", tmp_path / "o")


def test_views_out_of_range(tiny_root, tmp_path):
    assert "has no view 7" in refused("idr", tiny_root, tmp_path / "o", views="0,7")


def test_output_folder_not_writable(tiny_root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "--output-dir" in refused("idr", tiny_root, tmp_path / "file")


def test_a_truncated_checkpoint_is_named(fit_run, tiny_root, tmp_path):
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    (models / "step-000000011.ckpt").write_bytes(checkpoint(fit_run).read_bytes()[:500])
    text = train("baseh3d-fast", tiny_root, tmp_path / "o", "--load-dir", models, fails=True)
    assert "step-000000011.ckpt is truncated" in text and "Traceback" not in text


EVIL_CONFIGS = [
    "!!python/object/apply:os.system ['touch {out}/pwned']",
    "!!python/object/apply:nerfstudio.utils.writer.SummaryWriter ['{out}/pwned']",
    "!!python/object/apply:nerfstudio.utils.scripts.run_command ['touch {out}/pwned']",
    "!!python/module:this",
    "\x00binary",
    "- a list",
]


@pytest.mark.parametrize("text", EVIL_CONFIGS)
def test_a_config_that_names_code_is_not_executed(text, tmp_path):
    from baseh3d_ns.errors import InputError
    from baseh3d_ns.runs import read_config

    (tmp_path / "config.yml").write_text(text.format(out=tmp_path))
    with pytest.raises(InputError, match="config.yml"):
        read_config(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_a_config_with_another_dataparser_is_refused(fit_run, tmp_path):
    """nerfstudio's minimal parser unpickles what lies beside it."""
    from baseh3d_ns.errors import InputError
    from baseh3d_ns.runs import read_config

    parser = "nerfstudio.data.dataparsers.minimal_dataparser.MinimalDataParser"
    text = fit_run.config.read_text().replace("baseh3d_ns.data.h3ds_dataparser.H3dsDataParser", parser)
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(InputError, match="it names nerfstudio.data.dataparsers.minimal"):
        read_config(tmp_path)


def test_our_own_commands_run_from_any_folder(fit_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("baseh3d", "export", "--load-config", fit_run.config, "--output", "head.stl", "--spacing-mm", 4.0)
    assert (tmp_path / "head.stl").is_file()
