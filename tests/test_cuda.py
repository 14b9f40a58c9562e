"""CPU and GPU agree. Run with `python -m pytest -m cuda` on a machine that has one (`scripts/on_gpu.sh` does)."""

from math import isfinite

import pytest
import torch
import trimesh
from processes import Trained, call, train
from tiny_root import SCENE

from baseh3d_ns.benchmark import in_process
from baseh3d_ns.heads.head_file import LATENT, save_head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.mesh.extract import mesh_of_head
from baseh3d_ns.methods import baseh3d_fast
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import SphereTracer

pytestmark = pytest.mark.cuda
GPU = "cuda"
RAYS = "pipeline.datamanager.train-num-rays-per-batch"
VIEWS = {"scene": SCENE, "views": "3"}


@pytest.fixture(scope="module")
def gpu_run(tiny_root, tmp_path_factory) -> Trained:
    """A pre-training on the GPU."""
    out = tmp_path_factory.mktemp("gpu")
    train("baseh3d-fast-prior", tiny_root, out, "--epochs", 2, "--machine.device-type", GPU, views="all")
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast-prior" / "t")


@pytest.mark.parametrize("make", [SphereTracer, lambda: GridTracer(cells=64)])
def test_both_devices_trace_the_same(make):
    torch.manual_seed(0)
    field, generator = baseh3d_fast.config.pipeline.model.sdf_field.setup(), torch.Generator().manual_seed(1)
    origins = torch.nn.functional.normalize(torch.randn(4000, 3, generator=generator), dim=-1) * 3.0
    directions = torch.nn.functional.normalize(torch.rand(4000, 3, generator=generator) - 0.5 - origins, dim=-1)
    found = []
    for device in ("cpu", GPU):
        field, tracer = field.to(device), make()
        if isinstance(tracer, GridTracer):
            tracer.refresh(field.sdf, torch.device(device))
        found.append(tracer.trace(field.sdf, origins.to(device), directions.to(device)))
    cpu, gpu = found
    assert (cpu.hit == gpu.hit.cpu()).float().mean() > 0.999
    both = cpu.hit & gpu.hit.cpu()
    assert ((cpu.t - gpu.t.cpu()).abs()[both] < 2e-4).float().mean() > 0.999


def test_a_head_file_written_on_the_gpu_is_read_without_one(gpu_run):
    checkpoint = next(gpu_run.folder.rglob("step-*.ckpt"))
    assert torch.load(checkpoint, map_location="cpu", weights_only=True)["step"] == 9
    head, same, prior = (
        open_head(path) for path in (gpu_run.folder, checkpoint, gpu_run.folder / "prior-000002.safetensors")
    )
    assert head.provenance["trained_on"] == GPU and prior.adam_steps == 10
    tensors = [*head.weights.values(), *head.view_corrections.values(), head.camera_centres, *prior.moments.values()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    assert same.weights.keys() == head.weights.keys()
    assert all(torch.equal(head.weights[name], same.weights[name]) for name in head.weights)


@pytest.mark.parametrize("source", ["run", "builtin"])
def test_a_head_file_is_the_same_head_on_both_devices(gpu_run, source):
    path = gpu_run.folder if source == "run" else BUILTIN
    head, points = open_head(path), torch.rand(5000, 3, generator=torch.Generator().manual_seed(2)) * 2.0 - 1.0
    cpu, gpu = (field_of_head(head, path).to(device).sdf(points.to(device)).detach().cpu() for device in ("cpu", GPU))
    assert cpu.std() > 0.05
    torch.testing.assert_close(cpu, gpu, rtol=0, atol=1e-4)
    one, other = (mesh_of_head(head, path, 4.0, torch.device(device)) for device in ("cpu", GPU))
    assert abs(len(one.vertices) - len(other.vertices)) < 0.01 * len(one.vertices)
    assert abs(one.volume / other.volume - 1.0) < 1e-3
    colours = [mesh.visual.vertex_colors[:, :3].mean() for mesh in (one, other)]
    assert abs(colours[0] - colours[1]) < 1.0


def test_a_fit_carries_on_the_optimiser_of_a_head_file_on_the_gpu(gpu_run, tmp_path):
    options = {"load-prior": gpu_run.folder / "prior-000002.safetensors", "carry-optimizer": True, "register": False}
    options |= {"warm-start.colours.steps": 0, "warm-start.latent.steps": 0, "machine.device-type": GPU}
    config = in_process.configure(
        "baseh3d-fast", tmp_path, {"data": gpu_run.root, "epochs": 20, RAYS: 64, **options}, VIEWS
    )
    fit = in_process.start(config)
    states = fit.trainer.optimizers.optimizers["fields"].state.values()
    assert {int(state["step"]) for state in states} == {10}
    assert {state["exp_avg"].device.type for state in states} == {GPU}
    assert isfinite(in_process.run(fit, 3).loss)


def test_the_builtin_prior_in_full_size_networks_on_the_gpu(tiny_root, tmp_path):
    options = {"data": tiny_root, "load-prior": BUILTIN, "machine.device-type": GPU, RAYS: 256}
    fit = in_process.start(in_process.configure("baseh3d", tmp_path, options, VIEWS))
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(3)) * 2.0 - 1.0
    small, field = field_of_head(open_head(BUILTIN), BUILTIN), fit.trainer.pipeline.model.field
    torch.testing.assert_close(small.sdf(points), field.sdf(points.to(GPU)).cpu(), rtol=0, atol=1e-4)
    assert isfinite(in_process.run(fit, 3).loss)


def test_a_fit_from_the_shape_space_on_the_gpu(tiny_root, tmp_path):
    """Placing, colours and latent first, views refined."""
    options = ["--epochs", 4, "--pipeline.model.anchor.weight", 0.1]
    said = train("baseh3d-fast", tiny_root, tmp_path, *options, "--machine.device-type", GPU)
    assert "Placed the prior" in said and "Fitted the latent" in said


def test_a_shape_space_learned_on_the_gpu(tmp_path):
    (tmp_path / "heads").mkdir()
    for name, semi_axes_mm in (("one", (75.0, 100.0, 85.0)), ("other", (70.0, 110.0, 90.0))):
        mesh = trimesh.creation.icosphere(subdivisions=4)
        mesh.apply_scale(semi_axes_mm)
        mesh.export(tmp_path / "heads" / f"{name}.ply")
    sizes = {"samples-per-head": 500, "heads-per-step": 2, "points-per-head": 32}
    options = {f"pipeline.datamanager.{name}": value for name, value in sizes.items()}
    options |= {"data": tmp_path / "heads", "max-num-iterations": 5, "machine.device-type": GPU}
    fit = in_process.start(in_process.configure("h3dnet-fast-prior", tmp_path / "run", options, {}))
    assert isfinite(in_process.run(fit, 5).loss)
    save_head(tmp_path / "prior.safetensors", fit.trainer.shape_space(4))
    space = open_head(tmp_path / "prior.safetensors")
    assert space.latents is not None and space.latents.shape == (2, len(space.weights[LATENT]))
    assert space.latents.device.type == "cpu"


def test_a_mesh_exported_on_the_gpu(gpu_run, tmp_path):
    call("baseh3d", "export", "--load-config", gpu_run.folder, "--output", tmp_path / "head.ply", "--spacing-mm", 3.0)
    assert trimesh.load(tmp_path / "head.ply").is_watertight


def test_nerfstudios_own_export_on_the_gpu(gpu_run, tmp_path):
    pytest.importorskip("open3d", reason="ns-export needs open3d")
    out = tmp_path / "m"
    call("ns-export", "marching-cubes", "--load-config", gpu_run.config, "--output-dir", out, "--resolution", 512)
    assert (out / "sdf_marching_cubes_mesh.ply").stat().st_size > 0


def test_the_full_size_method_on_the_gpu(tiny_root, tmp_path):
    options = ["--pipeline.datamanager.train-num-rays-per-batch", 2048, "--max-num-iterations", 20]
    train("idr", tiny_root, tmp_path, *options, "--machine.device-type", GPU)
    assert next(tmp_path.rglob("step-*.ckpt")).name == "step-000000019.ckpt"
