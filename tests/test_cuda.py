"""CPU and GPU agree. Run with `python -m pytest -m cuda` on a machine that has one."""

import pytest
import torch
from tiny_root import SCENE

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
    from test_training import train

    train("baseh3d-fast-prior", tiny_root, tmp_path, "--epochs", 2, "--machine.device-type", "cuda", views="all")
    state = torch.load(
        next(tmp_path.rglob("step-*.ckpt")), map_location="cpu", weights_only=True
    )  # written on the GPU, read without one
    assert state["step"] == 9 and SCENE
