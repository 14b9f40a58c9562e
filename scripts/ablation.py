"""What each ingredient of baseh3d-fast gives: the same fits with one changed at a time.

Fits from nothing (`no prior`, `idr`) have the learning rate and schedule that suit them.
Writes ablation.json and ablation.md. Errors are rigid, ground truth to surface, in mm (as in bench_speed.py). Other
methods are among the variants: with as many steps and networks of the same size.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import tyro
from in_process import METHODS, configure, run, start

from baseh3d_ns import methods
from baseh3d_ns.evaluation.quick_score import quick_score
from baseh3d_ns.heads.head_file import save_prior
from baseh3d_ns.heads.readers import BUILTIN, load_prior

SCRATCH: Any = methods.baseh3d_fast_prior.config
MODEL, MANAGER = "pipeline__model__", "pipeline__datamanager__"
PARSER = MANAGER + "dataparser__"
VARIANTS: dict[str, dict[str, Any]] = {
    "baseh3d-fast": {},
    "h3dnet-fast": {},
    "idr": {MANAGER + "train_num_rays_per_batch": 1024, "lr_halvings": (), "lr_final": 0.05},
    "the mean head, latent not fitted": {},
    "the prior of one head": {},
    "no prior": {},
    "prior where its own frame had it": {"register": False},
    "cameras as given": {MODEL + "refine_cameras": False},
    "no exposure and white balance": {MODEL + "refine_colours": False},
    "rays anywhere in the photos": {MANAGER + "rays_on_head": False},
    "latent from silhouettes and faces alone": {"latent_first": 0},
    "photos not held against each other": {MODEL + "photo_weight": 0.0},
    "colours not first": {"colours_first": 0},
    "no warm-up": {"lr_warmup": 0.0},
    "steps and silhouettes as from nothing": {
        MODEL + "mask_alpha": SCRATCH.pipeline.model.mask_alpha,
        "optimizers__fields__optimizer__lr": SCRATCH.optimizers["fields"]["optimizer"].lr,
        "lr_final": SCRATCH.lr_final,
    },
    "views refined from a tenth on": {MODEL + "refine_from": 0.1},
    "not held where nothing is seen": {MODEL + "anchor_weight": 0.0},
    "a single view held by nothing": {MODEL + "one_view_anchor_weight": 0.0},
    # Off by default.
    "without the pixels at the masks' edges": {MANAGER + "skip_edge_px": 1.0},
}
MEAN_HEAD = "mean-head.safetensors"


@dataclass
class Ablation:
    """Fit scenes of one or several roots with every variant."""

    data: tuple[Path, ...]
    """Roots in the H3DS layout."""
    out: Path
    """Folder for ablation.json and ablation.md."""
    prior: tuple[Path, ...] = ()
    """For `the prior of one head`: one for each root, of a subject that is not among the scenes."""
    downscale: int = 1
    """Photos are made that many times smaller."""
    scenes: tuple[str, ...] = ("scan1",)
    """Scenes to fit, of every root."""
    views: str = "3"
    """Training views."""
    epochs: int = 200
    """Epochs of each fit."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which to run."""
    seeds: tuple[int, ...] = (0,)
    """A fit for each; single ones scatter by 0.1 to 0.2 mm."""

    def main(self) -> None:
        unknown = set(self.variants) - set(VARIANTS)
        if unknown:
            raise SystemExit(f"Error: no variant {sorted(unknown)}: choose of {sorted(VARIANTS)}")
        variants = [name for name in self.variants if self.prior or name != "the prior of one head"]
        priors = self.prior or (None,) * len(self.data)
        if len(self.data) != len(priors):
            raise SystemExit("Error: --data and --prior differ in number: pass a prior for each root, or none")
        self.out.mkdir(parents=True, exist_ok=True)
        self.write_mean_head()
        rows: list[dict[str, Any]] = []
        for root, prior in zip(self.data, priors, strict=True):
            for scene in self.scenes:
                for variant, seed in product(variants, self.seeds):
                    face, head, seconds = self.fit(root, prior, scene, variant, seed)
                    rows.append({"data": root.name, "scene": scene, "variant": variant, "seed": seed})
                    rows[-1] |= {"face": face, "head": head, "seconds": seconds}
                    print(rows[-1], flush=True)
                    (self.out / "ablation.json").write_text(json.dumps(rows, indent=1))
        (self.out / "ablation.md").write_text(_table(rows))
        print(_table(rows))

    def write_mean_head(self) -> None:
        """The built-in shape space as the prior of one head."""
        space = load_prior(BUILTIN)
        save_prior(self.out / MEAN_HEAD, replace(space, latents=None, provenance={"source": "builtin, mean head"}))

    def fit(self, root: Path, prior: Path | None, scene: str, variant: str, seed: int) -> tuple[float, float, float]:
        """Face and head in mm, and the seconds from start to end."""
        torch.manual_seed(seed)
        start_from = {"the mean head, latent not fitted": self.out / MEAN_HEAD, "the prior of one head": prior}
        method = variant if variant in METHODS else "baseh3d-fast"
        changes = {"epochs": self.epochs, "plateau": 0.0, PARSER + "downscale": self.downscale, **VARIANTS[variant]}
        if variant == "no prior":
            method = "idr"
            changes |= {name: getattr(SCRATCH, name) for name in ("lr_halvings", "lr_final", "lr_warmup")}
        config = configure(method, root, scene, self.views, start_from.get(variant, BUILTIN), **changes)
        if variant == "no prior":
            parser = config.pipeline.datamanager.dataparser
            config.pipeline, config.optimizers = deepcopy(SCRATCH.pipeline), deepcopy(SCRATCH.optimizers)
            config.pipeline.datamanager.dataparser = parser
        trainer, seconds = start(config)
        _, _, trained = run(trainer, 0, config.max_num_iterations)
        return *quick_score(trainer), seconds + trained


def _table(rows: list[dict[str, Any]]) -> str:
    """Mean face / head over scenes and seeds, a column for each root."""
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
