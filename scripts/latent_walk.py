"""A walk through a shape space: the mean head in the middle, its main directions to both sides, as one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.heads.latent_pca import principal_components
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.placing.prior_face import render
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.shape_space.datamanager import orbit_cameras


@dataclass
class LatentWalk:
    """One row a direction, one column a step of `spread` standard deviations."""

    out: Path
    """Picture to write (.png)."""
    prior: Path = Path("builtin")
    """A shape space."""
    directions: int = 4
    """Rows: the directions that vary most."""
    columns: int = 5
    """Heads in a row; an odd number has the mean head in its middle."""
    spread: float = 2.0
    """Standard deviations from the middle to the last column."""
    size: int = 240
    """Height and width of a head in pixels."""

    def main(self) -> None:
        prior = open_head(self.prior)
        if prior.latents is None:
            raise InputError(f"{self.prior} is the prior of one head: pass a shape space")
        field = field_of_head(prior, self.prior)
        mean_head = field.latent.detach().clone()
        walk = principal_components(prior.latents, mean_head, self.directions)
        rays = orbit_cameras(30.0, self.size).generate_rays(camera_indices=0)
        grid, rows = GridTracer(64), []
        for direction in walk:
            row = []
            for along in np.linspace(-self.spread, self.spread, self.columns):
                with torch.no_grad():
                    field.latent.copy_(mean_head + float(along) * direction)
                    grid.refresh(field.sdf, mean_head.device)
                    row.append(render(field, grid, rays.origins, rays.directions)[0])
            rows.append(np.concatenate(row, axis=1))
        Image.fromarray(np.concatenate(rows, axis=0)).save(self.out)


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(LatentWalk, description=__doc__).main()
