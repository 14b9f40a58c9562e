"""Meshing, measured in one process: `baseh3d export`'s coarse-to-fine extraction against every node of the lattice.

Writes mesh.json and mesh.md. On a GPU also times `ns-export marching-cubes`'s own extraction, which needs CUDA.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
import tyro
from baseh3d_ns.runs import Run, open_run
from in_process import device_name
from scipy.spatial import cKDTree

from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.rendering.chunks import in_chunks


@dataclass
class Row:
    """One resolution."""

    cells: int
    """Along an axis of the unit ball's box."""
    spacing_mm: float
    seconds: float
    evaluations: int
    """Points the SDF network was asked for."""
    vertices: int
    dense_seconds: float | None = None
    """Of asking the network at every lattice node in the ball."""
    dense_evaluations: int | None = None
    farthest_mm: float | None = None
    """Largest distance from a vertex of either mesh to the nearest of the other."""
    nerfstudio_seconds: float | None = None


@dataclass
class BenchMesh:
    """Compare ways to mesh the head of a run."""

    load_config: Path
    """config.yml of the run."""
    out: Path
    """Folder for mesh.json and mesh.md."""
    cells: tuple[int, ...] = (256, 512, 1024)
    """Lattice cells along an axis of the unit ball's box."""
    dense_up_to: int = 512
    """Largest lattice that is also evaluated everywhere (1024 takes half a billion evaluations)."""

    def main(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        run = open_run(self.load_config)
        rows = [self.measure(run, cells) for cells in self.cells]
        result = {"device": device_name(), "rows": [asdict(row) for row in rows]}
        (self.out / "mesh.json").write_text(json.dumps(result, indent=1))
        (self.out / "mesh.md").write_text(_table(rows))
        print(_table(rows))

    def measure(self, run: Run, cells: int) -> Row:
        spacing = 2.0 / cells
        spacing_mm = spacing * run.frame.radius_mm
        mesh, seconds, evaluations = _timed(
            run, lambda sdf: extract_mesh(sdf, run.frame, spacing_mm=spacing_mm, device=run.device, keep_all=True)
        )
        row = Row(cells, spacing_mm, seconds, evaluations, len(mesh.vertices))
        if cells <= self.dense_up_to:
            dense, row.dense_seconds, row.dense_evaluations = _timed(run, lambda sdf: _dense(sdf, run, cells))
            row.farthest_mm = max(
                float(cKDTree(a.vertices).query(b.vertices)[0].max()) for a, b in ((mesh, dense), (dense, mesh))
            )
        if run.device.type == "cuda":
            _, row.nerfstudio_seconds, _ = _timed(run, lambda sdf: _nerfstudio(sdf, cells))
        print(row, flush=True)
        return row


def _timed(run: Run, mesher: Callable[[Any], Any]) -> tuple[Any, float, int]:
    """What the mesher makes of the run's SDF, its seconds, and the points it asked for."""
    counted = 0

    def sdf(points: torch.Tensor) -> torch.Tensor:
        nonlocal counted
        counted += len(points)
        return run.field.sdf(points)

    begin = time.monotonic()
    result = mesher(sdf)
    return result, time.monotonic() - begin, counted


@torch.no_grad()
def _dense(sdf: Any, run: Run, cells: int) -> trimesh.Trimesh:
    """Marching cubes on all lattice nodes, of the same function as extract_mesh's: cut by the ball."""
    from skimage.measure import marching_cubes

    # One more node on every side, as the surface may touch the ball.
    axis = torch.arange(-cells // 2 - 1, cells // 2 + 2, device=run.device) * (2.0 / cells)
    values = np.empty((len(axis),) * 3, np.float32)
    for layer, x in enumerate(axis):
        points = torch.stack([x.expand(len(axis), len(axis)), *torch.meshgrid(axis, axis, indexing="ij")], dim=-1)
        f = points.norm(dim=-1) - 1.0
        near = f < 3.0 / cells
        f[near] = torch.maximum(f[near], in_chunks(sdf, points[near].clamp(-1.0, 1.0)))
        values[layer] = f.cpu().numpy()
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    unit = (vertices - (cells // 2 + 1)) * (2.0 / cells)
    return trimesh.Trimesh(run.frame.to_world_mm(unit), faces, process=False)


def _nerfstudio(sdf: Any, cells: int) -> Any:
    from nerfstudio.exporter.marching_cubes import generate_mesh_with_multires_marching_cubes

    return generate_mesh_with_multires_marching_cubes(
        lambda points: sdf(points)[:, None], resolution=cells, bounding_box_min=(-1, -1, -1), bounding_box_max=(1, 1, 1)
    )


def _table(rows: list[Row]) -> str:
    names = ["cells", "spacing mm", "s", "million evaluations", "vertices", "dense s", "dense million evaluations"]
    names += ["farthest vertex mm", "ns-export s"]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = [str(row.cells), f"{row.spacing_mm:.2f}", f"{row.seconds:.1f}", f"{row.evaluations / 1e6:.1f}"]
        cells += [str(row.vertices), _or_dash(row.dense_seconds, ".0f")]
        cells += [_or_dash(row.dense_evaluations and row.dense_evaluations / 1e6, ".0f")]
        cells += [_or_dash(row.farthest_mm, ".4f"), _or_dash(row.nerfstudio_seconds, ".1f")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    tyro.cli(BenchMesh, description=__doc__).main()
