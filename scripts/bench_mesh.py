"""Cost of meshing a head: `baseh3d export`'s coarse-to-fine extraction against every node of the lattice.

Writes mesh.csv and mesh.json (kept results, see scripts/update_readme.py). On a GPU also times `ns-export
marching-cubes`'s own extraction, which needs CUDA.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.kept import Origin, keep_table, kept_markdown
from baseh3d_ns.benchmark.machine import device_name
from baseh3d_ns.benchmark.mesh_speed import DIGITS, measure_meshing
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import check_writable
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.mesh.extract import usual_device
from baseh3d_ns.rendering.denormals import flush_denormals


@dataclass
class BenchMesh:
    """Measure and print the table."""

    head: Path
    """A run folder, its config.yml, or a head file."""
    out: Path
    """Folder to write to."""
    cells: tuple[int, ...] = (256, 512, 1024)
    """Lattice cells along an axis of the unit ball's box."""
    dense_up_to: int = 512
    """Largest lattice that is also evaluated everywhere (1024 takes half a billion evaluations)."""

    def main(self) -> None:
        flush_denormals()
        check_writable(self.out)
        head, device = open_head(self.head), usual_device()
        if head.frame is None:
            raise InputError(f"{self.head} does not record its frame in millimetres: fit a head first")
        field = field_of_head(head, self.head).to(device).eval()
        lines = [
            measure_meshing(field.sdf, head.frame, device, cells, cells <= self.dense_up_to) for cells in self.cells
        ]
        metric = "Distances between vertices of both meshes"
        origin = Origin("python " + " ".join(sys.argv), __version__, (0,), device_name(), metric, digits=DIGITS)
        keep_table(self.out / "mesh.csv", pd.DataFrame(lines), origin)
        print(kept_markdown(self.out, "mesh"))


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(BenchMesh, description=__doc__).main()
