"""Cost of meshing: coarse-to-fine extraction against marching cubes on every node of the lattice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from baseh3d_ns.benchmark.machine import now_s
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.rendering.chunks import Sdf, in_chunks

DIGITS = {"spacing mm": 2, "s": 1, "million evaluations": 1, "farthest vertex mm": 4, "ns-export s": 1}
"""Digits of the columns of a table of these rows."""


@dataclass(frozen=True)
class Meshed:
    """A mesh and its cost."""

    mesh: Any
    seconds: float
    evaluations: int
    """Points the SDF was asked for."""


def measure_meshing(
    sdf: Sdf, frame: SceneFrame, device: torch.device, cells: int, dense: bool
) -> dict[str, float | int | None]:
    """One line of the table.

    Args:
        sdf: signed distance in the unit frame.
        frame: unit ball in world millimetres.
        device: where `sdf` wants its points.
        cells: lattice cells along an axis of the unit ball's box.
        dense: also evaluate the whole lattice.
    """
    spacing_mm = 2.0 / cells * frame.radius_mm
    ours = _timed(sdf, lambda asked: extract_mesh(asked, frame, spacing_mm=spacing_mm, device=device, keep_all=True))
    line: dict[str, float | int | None] = {
        "cells": cells,
        "spacing mm": spacing_mm,
        "s": ours.seconds,
        "million evaluations": ours.evaluations / 1e6,
        "vertices": len(ours.mesh.vertices),
        "dense s": None,
        "dense million evaluations": None,
        "farthest vertex mm": None,
        "ns-export s": None,
    }
    if dense:
        full = _timed(sdf, lambda asked: dense_mesh(asked, frame, device, cells))
        line |= {"dense s": full.seconds, "dense million evaluations": full.evaluations / 1e6}
        line["farthest vertex mm"] = farthest_vertex_mm(ours.mesh, full.mesh)
    if device.type == "cuda":  # nerfstudio's own extraction needs it
        line["ns-export s"] = _timed(sdf, lambda asked: _nerfstudio(asked, cells)).seconds
    return line


def farthest_vertex_mm(a: trimesh.Trimesh, b: trimesh.Trimesh) -> float:
    """Largest distance from a vertex of either mesh to the nearest vertex of the other."""
    return max(float(cKDTree(x.vertices).query(y.vertices)[0].max()) for x, y in ((a, b), (b, a)))


@torch.no_grad()
def dense_mesh(sdf: Sdf, frame: SceneFrame, device: torch.device, cells: int) -> trimesh.Trimesh:
    """Marching cubes on all lattice nodes, of the same function as `extract_mesh`: cut by the ball."""
    from skimage.measure import marching_cubes

    # One more node on every side, as the surface may touch the ball.
    axis = torch.arange(-cells // 2 - 1, cells // 2 + 2, device=device) * (2.0 / cells)
    values = np.empty((len(axis),) * 3, np.float32)
    for layer, x in enumerate(axis):
        points = torch.stack([x.expand(len(axis), len(axis)), *torch.meshgrid(axis, axis, indexing="ij")], dim=-1)
        f = points.norm(dim=-1) - 1.0
        near = f < 3.0 / cells
        f[near] = torch.maximum(f[near], in_chunks(sdf, points[near].clamp(-1.0, 1.0)))
        values[layer] = f.cpu().numpy()
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    unit = (vertices - (cells // 2 + 1)) * (2.0 / cells)
    return trimesh.Trimesh(frame.to_world_mm(unit), faces, process=False)


def _timed(sdf: Sdf, mesher: Callable[[Sdf], Any]) -> Meshed:
    counted = 0

    def asked(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        nonlocal counted
        counted += len(points)
        return sdf(points)

    begin = now_s()
    mesh = mesher(asked)
    return Meshed(mesh, now_s() - begin, counted)


def _nerfstudio(sdf: Sdf, cells: int) -> Any:
    from nerfstudio.exporter.marching_cubes import generate_mesh_with_multires_marching_cubes

    return generate_mesh_with_multires_marching_cubes(
        lambda points: sdf(points)[:, None], resolution=cells, bounding_box_min=(-1, -1, -1), bounding_box_max=(1, 1, 1)
    )
