"""Time of a picture with and without what spares calls of the network: surface's box, early end, first look.

    python scripts/bench_pictures.py RUN/config.yml --size 512

Both ways in turn, in one process on one thread; seconds of the process, points that the network was asked for.
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

WITHOUT = Effort(secant_steps=4, local_samples=32)


class Plain(GridTracer):
    """The tracer without what spares calls of the network."""

    @torch.no_grad()
    def trace(self, sdf: Any, origins: Any, directions: Any) -> Hits:
        samples = self.samples_along(origins, directions, jitter=False)
        return self._trace(sdf, origins, directions, samples, WITHOUT)


class Counting(torch.nn.Module):
    """A field that counts the points it is asked for by the tracer."""

    def __init__(self, field: Any) -> None:
        super().__init__()
        self.field, self.asked = field, 0
        self.with_gradient, self.colour = field.with_gradient, field.colour

    def sdf(self, points: Any) -> Any:
        self.asked += len(points)
        return self.field.sdf(points)


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
        tracers = {"plain": Plain(model.config.grid_cells), "now": GridTracer(model.config.grid_cells)}
        spent = dict.fromkeys(tracers, float("inf"))
        for tracer in tracers.values():
            tracer.refresh(model.field.sdf, model.device)
        for _ in range(self.repeats):
            for name, tracer in tracers.items():
                field, begun = Counting(model.field), time.process_time()
                view = SurfaceView.trace(field, tracer, *rays)
                view.rgb()
                spent[name] = min(spent[name], time.process_time() - begun)
                print(f"{name}: {spent[name]:.2f} s, {field.asked} points, {int(view.hits.hit.sum())} hits")
        print(f"{self.size} px: {spent['plain'] / spent['now']:.2f} times as fast")


if __name__ == "__main__":
    tyro.cli(BenchPictures).main()
