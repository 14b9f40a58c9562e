"""Speed of a definition's rows on one scene, in one process: cost of a step, error against time, growth of the cost.

Writes speed.csv and speed.json (kept results, see scripts/update_readme.py), growth.csv and speed.png. Clocks stop
while a fit is scored. `configs/speed.toml` gives all methods the networks of baseh3d-fast; on a GPU, take their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.kept import Origin, keep_table, kept_markdown
from baseh3d_ns.benchmark.machine import device_name
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.results import write_csv
from baseh3d_ns.benchmark.speed import OneScene, plot_speed, speed_table
from baseh3d_ns.errors import exit_on_input_error
from baseh3d_ns.files import check_writable


@dataclass
class BenchSpeed:
    """Measure and draw."""

    data: Path
    """Root in the H3DS layout."""
    out: Path
    """Folder to write to."""
    definition: Path = Path("configs/speed.toml")
    """Rows to measure; the cost's growth is that of the last."""
    scene: str = "scan1"
    """Scene to fit."""
    seconds: float = 120.0
    """Training time a row gets."""
    scores: int = 6
    """Number of scores of a fit, at times that double."""
    errors_mm: tuple[float, ...] = (4.0, 3.0, 2.5, 2.0, 1.5, 1.2)
    """Face errors whose time is reported."""

    def main(self) -> None:
        check_writable(self.out)
        definition = read_definition(self.definition)
        measured = OneScene(definition, self.data, self.scene)
        speeds = [measured.measure(row, self.seconds, self.scores) for row in definition.rows]
        growth = measured.growth(definition.rows[-1])
        table, digits = speed_table(speeds, self.errors_mm)
        metric = "Rigid, ground truth to surface"
        origin = Origin("python " + " ".join(sys.argv), __version__, (0,), device_name(), metric, digits=digits)
        keep_table(self.out / "speed.csv", table, origin)
        write_csv(self.out / "growth.csv", growth)
        plot_speed(speeds, growth, self.out / "speed.png")
        print(kept_markdown(self.out, "speed"))


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(BenchSpeed, description=__doc__).main()
