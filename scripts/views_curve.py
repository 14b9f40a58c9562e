"""Gain from more photos: the rigid errors of a kept benchmark against the number of photos, as one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from baseh3d_ns.benchmark.definition import Definition
from baseh3d_ns.benchmark.kept import KEPT, is_kept
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.results import read_results
from baseh3d_ns.benchmark.statistics import by_scene, fits
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import whole_file

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PANELS = {"face_rigid_mm": "face", "head_rigid_mm": "head"}
"""Column of the results, and title of its panel."""


@dataclass
class ViewsCurve:
    """A panel for the face and one for the head; a line a method through the means, a dot a scene."""

    out: Path
    """Picture to write (.png)."""
    name: str = "synthetic_views"
    """Benchmark whose numbers are kept in configs/results."""

    def main(self) -> None:
        if not is_kept(CONFIGS / KEPT, self.name):
            raise InputError(f"nothing is kept of {self.name}: run `bash scripts/paper.sh --only {self.name}` first")
        draw(
            read_definition(CONFIGS / f"{self.name}.toml"), read_results(CONFIGS / KEPT / f"{self.name}.csv"), self.out
        )


def draw(definition: Definition, frame: pd.DataFrame, file: Path) -> None:
    """Draw the rows of a benchmark; view configurations that name photos one by one have no place on the axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    counts = sorted({int(views) for views in definition.all_views if views.isdigit()})
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 3.6), layout="constrained")
    for axis, (metric, title) in zip(axes, PANELS.items(), strict=True):
        for number, row in enumerate(definition.rows):
            scores = {count: by_scene(fits(frame, row.name, str(count)), metric) for count in counts}
            known = [count for count in counts if len(scores[count])]
            colour = f"C{number}"
            axis.plot(known, [scores[count].mean() for count in known], color=colour, label=row.name)
            for count in known:
                axis.plot([count] * len(scores[count]), scores[count], "o", color=colour, markersize=3)
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.set_ylim(bottom=0.0)
        axis.set(title=title, xlabel="photos", ylabel="rigid error (mm)")
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(definition.rows))
    with whole_file(file) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(ViewsCurve, description=__doc__).main()
