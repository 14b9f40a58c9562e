"""What a shape space knows of heads it has not seen: each fitted by latent and placement alone, scored in mm.

As baseh3d-fast begins: silhouettes and faces (`priors/registration.py`), then colours and latent (`priors/colours.py`,
`priors/latent_fit.py`); the decoder stays as it is. Errors are rigid, ground truth to surface. Writes a table; `--note`
also writes it into the provenance of the built-in space.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from in_process import FAST

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.evaluation.rigid import gt_to_pred
from baseh3d_ns.heads.head_file import LATENT, save_prior
from baseh3d_ns.heads.readers import BUILTIN, BUILTIN_FILE, find_prior_file, load_prior
from baseh3d_ns.heads.transfer import field_of_prior
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.placing.registration import register_prior
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.latent import fit_latent


@dataclass
class ScoreSpace:
    """Fit latents to heads and print the table."""

    data: Path
    """Root in the H3DS layout."""
    prior: Path = BUILTIN
    """A shape space."""
    scenes: tuple[str, ...] = ("scan1",)
    """Heads that it has not seen."""
    views: str = "3"
    """Views it is fitted to."""
    note: bool = False
    """Write the means into the provenance of the built-in space (only with --prior builtin)."""

    def main(self) -> None:
        prior = load_prior(self.prior)
        if prior.latents is None or (self.note and find_prior_file(self.prior) != BUILTIN_FILE):
            raise InputError(f"{self.prior}: pass a shape space, and --note with `builtin` only")
        print("| scene | IoU of the silhouettes | face mm | head mm | seconds |\n| --- | --- | --- | --- | --- |")
        rows = [self.fit(prior, scene) for scene in self.scenes]
        iou, face, head, seconds = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        print(f"| mean | {iou:.3f} | {face:.2f} | {head:.2f} | {seconds:.0f} |")
        if self.note:
            scores = f"{len(rows)} unseen heads of {self.data.name}, {self.views} views, latent only, rigid: "
            scores += f"face {face:.2f} mm, head {head:.2f} mm"
            save_prior(BUILTIN_FILE, replace(prior, provenance={**prior.provenance, "scores": scores}))

    def fit(self, prior, scene: str) -> tuple[float, float, float, float]:
        """IoU, face and head in mm, seconds."""
        torch.manual_seed(0)
        parser = H3dsDataParserConfig(data=self.data, scene=scene, views=(self.views,)).setup()
        dataset = HeadDataset(parser.get_dataparser_outputs("train"))
        field, start = field_of_prior(prior, self.prior), time.monotonic()
        pool = RayPool(dataset, "cpu", 1024, one_view=False, on_head=True)
        placed = register_prior(field, prior.frame, dataset, pool, prior.latents)
        learn_colours(field, pool, FAST.colours_first)
        fit_latent(field, prior.weights[LATENT], prior.latents, pool, FAST.latent_first)
        seconds = time.monotonic() - start
        mesh = extract_mesh(field.sdf, dataset.metadata["frame"], spacing_mm=2.0, device="cpu", progress=False)
        row = placed.iou_after, *gt_to_pred(parser.root.h3ds, parser.scene.scene_id, mesh).means_mm, seconds
        print(f"| {scene} | {row[0]:.3f} | {row[1]:.2f} | {row[2]:.2f} | {row[3]:.0f} |", flush=True)
        return row


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(ScoreSpace, description=__doc__).main()
