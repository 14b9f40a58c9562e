"""Time of a picture now, and with dense samples on the grid and the secant method for every ray, as it was at first.

    python scripts/bench_pictures.py RUN/config.yml --size 512

Both ways in turn, in one process on one thread: seconds of the process, and how much the pictures differ. "Snapshot" is
what the first picture of a state of the training pays besides.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from nerfstudio.utils.eval_utils import eval_setup

from baseh3d_ns.models.surface_view import SurfaceView
from baseh3d_ns.rendering.sdf_grid import Effort, GridTracer
from baseh3d_ns.rendering.sphere_tracing import Hits

DENSE = Effort(secant_steps=4, local_samples=32)


class DenseTracer(GridTracer):
    """Every ray in the unit ball sampled twice a cell, the network asked six times a hit."""

    @torch.no_grad()
    def trace_roughly(self, sdf: Any, origins: Any, directions: Any) -> Hits:
        samples = self.samples_along(origins, directions, jitter=False)
        return self._trace(sdf, origins, directions, samples, DENSE)

    def for_pictures(self, sdf: Any) -> Any:
        return None


class Counting(torch.nn.Module):
    """A field that counts the points it is asked for, with and without gradient."""

    def __init__(self, field: Any) -> None:
        super().__init__()
        self.field, self.asked, self.asked_gradient = field, 0, 0
        self.colour = field.colour

    def sdf(self, points: Any) -> Any:
        self.asked += len(points)
        return self.field.sdf(points)

    def with_gradient(self, points: Any, create_graph: bool) -> Any:
        self.asked_gradient += len(points)
        return self.field.with_gradient(points, create_graph)


def differences(now: SurfaceView, dense: SurfaceView, radius_mm: float) -> str:
    """Pixels that only one calls surface, depth where both do, PSNR of the whole picture."""
    both = now.hits.hit & dense.hits.hit
    depth_mm = (now.depth() - dense.depth())[both, 0].abs() * radius_mm
    psnr_db = -10.0 * (now.rgb() - dense.rgb()).square().mean().log10()
    return (
        f"{int((now.hits.hit != dense.hits.hit).sum())} of {int(dense.hits.hit.sum())} pixels on one surface only, "
        f"depth {depth_mm.mean():.4f} mm apart in the mean, {depth_mm.quantile(0.999):.2f} in 999 of 1000, "
        f"{depth_mm.max():.1f} at most, PSNR {psnr_db:.1f} dB"
    )


@dataclass
class BenchPictures:
    """Render the first training view of a run both ways."""

    load_config: tyro.conf.Positional[Path]
    """config.yml of a run that traces on a grid."""
    size: int = 512
    """Height in pixels."""
    repeats: int = 3

    @torch.no_grad()
    def main(self) -> None:
        torch.set_num_threads(1)
        _, pipeline, _, _ = eval_setup(self.load_config)
        model = pipeline.model
        camera = deepcopy(pipeline.datamanager.train_dataset.cameras[0:1])
        camera.rescale_output_resolution(self.size / float(camera.height[0]))
        bundle = camera.generate_rays(camera_indices=0)
        rays = bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3)
        # The finest grid decides; its tracer is as the dense one.
        tracers = {"dense": DenseTracer(model.config.grid_cells), "now": GridTracer(model.config.grid_cells)}
        tracers["reference"] = DenseTracer(2 * model.config.grid_cells)
        spent, views = dict.fromkeys(tracers, float("inf")), {}
        for repeat in range(self.repeats):
            for name, tracer in tracers.items():
                begun = time.process_time()
                tracer.refresh(model.field.sdf, model.device)
                tracer.for_pictures(model.field.sdf)
                field, traced = Counting(model.field), time.process_time()
                views[name] = SurfaceView.trace(field, tracer, *rays)
                views[name].rgb()
                spent[name] = min(spent[name], time.process_time() - traced)
                if repeat == self.repeats - 1:
                    asked = f"{field.asked} points, {field.asked_gradient} with gradient"
                    print(f"{name}: {spent[name]:.2f} s (snapshot {traced - begun:.2f} s), {asked}")
        for name in ("dense", "now"):
            print(f"{name}: {differences(views[name], views['reference'], float(model.frame_mm[3]))}")
        print(f"{self.size} px: {spent['dense'] / spent['now']:.2f} times as fast")


if __name__ == "__main__":
    tyro.cli(BenchPictures).main()
