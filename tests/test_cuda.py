"""CPU and GPU agree. Run with `python -m pytest -m cuda` on a machine that has one."""

import pytest
import torch

from baseh3d_ns.methods import baseh3d_fast
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import SphereTracer

pytestmark = pytest.mark.cuda


def a_head():
    torch.manual_seed(0)
    return baseh3d_fast.config.pipeline.model.sdf_field.setup()


@pytest.mark.parametrize("make", [SphereTracer, lambda: GridTracer(cells=64)])
def test_both_devices_trace_the_same(make):
    field, generator = a_head(), torch.Generator().manual_seed(1)
    origins = torch.nn.functional.normalize(torch.randn(4000, 3, generator=generator), dim=-1) * 3.0
    directions = torch.nn.functional.normalize(torch.rand(4000, 3, generator=generator) - 0.5 - origins, dim=-1)
    found = []
    for device in ("cpu", "cuda"):
        field, tracer = field.to(device), make()
        if isinstance(tracer, GridTracer):
            tracer.refresh(field.sdf, torch.device(device))
        found.append(tracer.trace(field.sdf, origins.to(device), directions.to(device)))
    cpu, gpu = found
    assert (cpu.hit == gpu.hit.cpu()).float().mean() > 0.999
    both = cpu.hit & gpu.hit.cpu()
    assert ((cpu.t - gpu.t.cpu()).abs()[both] < 2e-4).float().mean() > 0.999


def test_a_training_on_the_gpu(tiny_root, tmp_path):
    from processes import train

    train("baseh3d-fast-prior", tiny_root, tmp_path, "--epochs", 2, "--machine.device-type", "cuda", views="all")
    # Written on the GPU, read without one.
    checkpoint = next(tmp_path.rglob("step-*.ckpt"))
    assert torch.load(checkpoint, map_location="cpu", weights_only=True)["step"] == 9


def test_a_fit_from_the_shape_space_on_the_gpu(tiny_root, tmp_path):
    """Placing, colours and latent first, views refined, and a look at the loss."""
    from processes import train

    options = ["--epochs", 20, "--plateau", 0.9, "--plateau-steps", 2, "--pipeline.model.anchor.weight", 0.1]
    said = train("baseh3d-fast", tiny_root, tmp_path, *options, "--machine.device-type", "cuda")
    assert "Placed the prior" in said and "Fitted the latent" in said and "has stopped falling" in said


def test_both_mesh_exports_on_the_gpu(tiny_root, tmp_path):
    from processes import call, train

    train("baseh3d-fast-prior", tiny_root, tmp_path, "--epochs", 2, views="all")
    config = next(tmp_path.rglob("config.yml"))
    call("ns-export", "marching-cubes", "--load-config", config, "--output-dir", tmp_path / "m", "--resolution", 512)
    assert (tmp_path / "m" / "sdf_marching_cubes_mesh.ply").stat().st_size > 0
    call("baseh3d", "export", "--load-config", config, "--output", tmp_path / "head.ply", "--spacing-mm", 3.0)
    assert (tmp_path / "head.ply").is_file()


def test_the_full_size_method_on_the_gpu(tiny_root, tmp_path):
    from processes import train

    options = ["--pipeline.datamanager.train-num-rays-per-batch", 2048, "--max-num-iterations", 20]
    train("idr", tiny_root, tmp_path, *options)
    assert next(tmp_path.rglob("step-*.ckpt")).name == "step-000000019.ckpt"
