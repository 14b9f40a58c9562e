"""What each ingredient of baseh3d-fast gives: the same fits with one changed at a time.

Writes ablation.json and ablation.md. Errors are rigid, ground truth to surface, in mm (as in bench_speed.py).
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from in_process import FAST, configure, run, score, start

MODEL, MANAGER = "pipeline__model__", "pipeline__datamanager__"
VARIANTS: dict[str, dict[str, Any]] = {
    "baseh3d-fast": {},
    "no prior": {},
    "prior where its own frame had it": {"register": False},
    "cameras as given": {MODEL + "refine_cameras": False},
    "no exposure and white balance": {MODEL + "refine_colours": False},
    "rays anywhere in the photos": {MANAGER + "rays_on_head": False},
    "colours not first": {MODEL + "colour_first": 0.0},
    "no warm-up": {"lr_warmup": 0.0},
    # Off by default.
    "held by the prior where nothing is seen": {MODEL + "anchor_weight": 0.1},
    "without the pixels at the masks' edges": {MANAGER + "skip_edge_px": 1.0},
}


@dataclass
class Ablation:
    """Fit scenes of one or several roots with every variant."""

    data: tuple[Path, ...]
    """Roots in the H3DS layout."""
    prior: tuple[Path, ...]
    """A prior for each root, of a subject that is not among the scenes."""
    out: Path
    """Folder for ablation.json and ablation.md."""
    scenes: tuple[str, ...] = ("scan1",)
    """Scenes to fit, of every root."""
    views: str = "3"
    """Training views."""
    epochs: int = 200
    """Epochs of each fit."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which to run."""

    def main(self) -> None:
        unknown = set(self.variants) - set(VARIANTS)
        if unknown or len(self.data) != len(self.prior):
            why = f"no variant {sorted(unknown)}" if unknown else "--data and --prior differ in number"
            raise SystemExit(f"Error: {why}: pass a prior for each root, and variants of {sorted(VARIANTS)}")
        self.out.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        for root, prior in zip(self.data, self.prior, strict=True):
            for scene in self.scenes:
                for variant in self.variants:
                    face, head, seconds = self.fit(root, prior, scene, variant)
                    rows.append({"data": root.name, "scene": scene, "variant": variant, "seconds": seconds})
                    rows[-1] |= {"face": face, "head": head}
                    print(rows[-1], flush=True)
                    (self.out / "ablation.json").write_text(json.dumps(rows, indent=1))
        (self.out / "ablation.md").write_text(_table(rows))
        print(_table(rows))

    def fit(self, root: Path, prior: Path, scene: str, variant: str) -> tuple[float, float, float]:
        """Face and head in mm, and the seconds from start to end."""
        torch.manual_seed(0)
        changes = {"epochs": self.epochs, **VARIANTS[variant]}
        if variant == "no prior":
            config = configure("idr", root, scene, self.views, None, **changes)
            config.pipeline = deepcopy(FAST.pipeline)
            config.pipeline.datamanager.dataparser = configure(
                "baseh3d-fast", root, scene, self.views, None
            ).pipeline.datamanager.dataparser
            config.pipeline.model.anchor_weight = config.pipeline.model.colour_first = 0.0
            config.lr_halvings, config.lr_final, config.lr_warmup = FAST.lr_halvings, FAST.lr_final, FAST.lr_warmup
            config.optimizers = deepcopy(FAST.optimizers)
        else:
            config = configure("baseh3d-fast", root, scene, self.views, prior, **changes)
        trainer, seconds = start(config)
        _, _, trained = run(trainer, 0, config.max_num_iterations)
        return *score(trainer), seconds + trained


def _table(rows: list[dict[str, Any]]) -> str:
    """Mean face / head over the scenes, a column for each root."""
    roots = list(dict.fromkeys(row["data"] for row in rows))
    lines = ["| changed | " + " | ".join(f"{root}: face / head mm" for root in roots) + " |"]
    lines.append("|" + " --- |" * (1 + len(roots)))
    for variant in dict.fromkeys(row["variant"] for row in rows):
        cells = ["nothing" if variant == "baseh3d-fast" else variant]
        for root in roots:
            found = [row for row in rows if row["data"] == root and row["variant"] == variant]
            face, head = (sum(row[part] for row in found) / len(found) for part in ("face", "head"))
            cells.append(f"{face:.2f} / {head:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    tyro.cli(Ablation, description=__doc__).main()
