"""Trainings, pictures and meshes on a device that is not the CPU, without one: no tensor is left behind on the CPU."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from processes import COARSE, FEW_RAYS, QUICK_START
from second_device import SECOND, OnSecond, second_device
from tiny_root import SCENE, SEMI_AXES_MM

from baseh3d_ns.benchmark import in_process
from baseh3d_ns.benchmark.commands import arguments, parse
from baseh3d_ns.heads.head_file import save_head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.training import trainer

RAYS = [word for name, rays in FEW_RAYS.items() for word in (f"--pipeline.datamanager.{name}", rays)]


def started(method: str, data: Path, out: Path, views: dict[str, str], *options: object) -> Any:
    """A training on the second device, before its first step."""
    command = arguments(method, out, 0, {"data": data}, views)
    config = parse([command[0], *map(str, options), *command[1:]])
    config.machine.device_type = str(SECOND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "check_devices", lambda machine: None)
        return in_process.start(config)


def test_tensors_of_both_devices_do_not_meet():
    with second_device() as there:
        x, y = torch.arange(6.0).reshape(2, 3), torch.ones(2, 3, device=there)
        for meet in (lambda: x + y, lambda: torch.cat([x, y]), lambda: x.index_put((y[0] > 0,), y), lambda: x[y > 0]):
            with pytest.raises(RuntimeError, match="two devices"):
                meet()
        with pytest.raises(TypeError, match="no NumPy array"):
            y.numpy()
        assert isinstance(x.to(there) + 2.0 * y, OnSecond) and y[torch.tensor([0])].device == there
        np.testing.assert_array_equal((x.to(there) + 2.0 * y).cpu().numpy(), [[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])


def test_what_is_learned_there_is_what_the_cpu_learns():
    def learned(device: torch.device) -> torch.Tensor:
        weights = torch.linspace(-1.0, 1.0, 12).reshape(3, 4).to(device).requires_grad_()
        optimizer = torch.optim.Adam([weights], 0.1)
        for _ in range(5):
            points = torch.linspace(0.0, 1.0, 6, device=device).reshape(2, 3).requires_grad_()
            value = torch.nn.functional.softplus(points @ weights).sum()
            (gradient,) = torch.autograd.grad(value, points, create_graph=True)
            optimizer.zero_grad()
            (gradient.norm(dim=-1) - 1.0).square().sum().backward()
            optimizer.step()
        return weights.detach().cpu()

    with second_device() as there:
        torch.testing.assert_close(learned(there), learned(torch.device("cpu")), rtol=0, atol=0)


def test_a_fit(tiny_root, tmp_path):
    """Placing, colours and latent first, steps, the end, pictures."""
    with second_device() as there:
        options = ["--load-prior", "builtin", "--epochs", 2, *RAYS, *QUICK_START, *COARSE]
        fit = started("baseh3d-fast", tiny_root, tmp_path, {"scene": SCENE, "views": "3"}, *options)
        assert {parameter.device for parameter in fit.trainer.pipeline.parameters()} == {there}
        assert isfinite(in_process.run(fit, 3).loss)
        in_process.run(fit, 100)
        pipeline = fit.trainer.pipeline
        pictures = pipeline.model.eval().get_outputs_for_camera(pipeline.datamanager.train_dataset.cameras[0:1])
        assert {"rgb", "normal", "prior_shift_mm", "silhouette", "photo", "error_mm"} <= set(pictures)
        assert {tuple(pictures[name].shape[:2]) for name in pictures} == {(48, 48)}


def test_a_mesh_is_that_of_the_cpu():
    head = open_head(BUILTIN)
    assert head.frame is not None
    meshes = []
    with second_device() as there:
        for device in (torch.device("cpu"), there):
            field = field_of_head(head, BUILTIN).to(device)
            meshes.append(extract_mesh(field.sdf, head.frame, spacing_mm=6.0, device=device, progress=False))
    np.testing.assert_array_equal(meshes[0].faces, meshes[1].faces)
    np.testing.assert_allclose(meshes[0].vertices, meshes[1].vertices, rtol=0, atol=1e-3)


def test_idr(tiny_root, tmp_path):
    with second_device():
        fit = started("idr", tiny_root, tmp_path, {"scene": SCENE, "views": "3"}, *RAYS, "--epochs", 1)
        assert isfinite(in_process.run(fit, 3).loss)


def test_a_shape_space(tmp_path):
    (tmp_path / "heads").mkdir()
    for name, scale in (("one", 1.0), ("other", 1.1)):
        trimesh.creation.icosphere(subdivisions=3).apply_scale(scale * SEMI_AXES_MM).export(
            tmp_path / "heads" / f"{name}.ply"
        )
    sizes = {"samples-per-head": 500, "heads-per-step": 2, "points-per-head": 32}
    options = [word for name, size in sizes.items() for word in (f"--pipeline.datamanager.{name}", size)]
    with second_device():
        fit = started(
            "h3dnet-fast-prior", tmp_path / "heads", tmp_path / "run", {}, *options, "--max-num-iterations", 3
        )
        assert isfinite(in_process.run(fit, 3).loss)
        save_head(tmp_path / "prior.safetensors", fit.trainer.shape_space(2))
    assert open_head(tmp_path / "prior.safetensors").latents.shape[0] == 2
