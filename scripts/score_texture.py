"""How well a textured mesh fits the photos of its head, beside the colour network of the same run.

Usage: python scripts/score_texture.py --runs RUN1 RUN2 --out FOLDER
Writes texture.csv and texture.json (kept results, see scripts/update_readme.py).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import trimesh
import tyro
from torch import Tensor
from torch.nn.functional import normalize
from trimesh.visual.color import uv_to_interpolated_color

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.kept import Origin, keep_table, kept_markdown
from baseh3d_ns.benchmark.machine import device_name
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.errors import exit_on_input_error
from baseh3d_ns.evaluation.head_photos import photos_of_head
from baseh3d_ns.evaluation.photo_scores import HeadRenderer, RenderedView
from baseh3d_ns.files import check_writable
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.mesh.extract import mesh_of_head
from baseh3d_ns.models.surface_view import BACKGROUND
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.image_metrics import head_metrics
from baseh3d_ns.texture.textured import TEXTURED_SPACING_MM, open_texture_photos, textured_mesh

COLUMNS = ("PSNR dB", "of the texture", "both show: PSNR dB", "both: of the texture", "SSIM", "SSIM of the texture")
METRIC = "Means over photos, over the mask, by the colour network and by the texture; also where both show the head"
DIGITS = {name: 3 if name.startswith("SSIM") else 2 for name in COLUMNS}
CPU = torch.device("cpu")


@dataclass
class Args:
    runs: tuple[Path, ...]
    """Run folders or head files."""
    out: Path
    """Folder to write to."""
    side_px: int = 512
    """Longest side of the photos that are compared."""
    texture_size: int = 2048
    """Width and height of the texture."""
    within_deg: float = 60.0
    """Held-out photos count whose camera lies within this angle of the middle of the training cameras."""


def textured_view(
    mesh_mm: trimesh.Trimesh,
    dataset: HeadDataset,
    view: int,
    corrections: ViewCorrections | None,
    seen: RenderedView,
) -> dict[str, Tensor]:
    """The textured mesh as a camera sees it: `rgb` and `accumulation`, of the shapes in `seen`."""
    frame: SceneFrame = dataset.metadata["frame"]
    bundle = dataset.cameras.generate_rays(camera_indices=view)
    origins, directions = bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3)
    views = torch.full((len(origins),), view)
    if corrections is not None:
        origins, directions = corrections.rays(origins, directions, views)
    rgb, hit = seen_texture(mesh_mm, frame, origins, directions)
    if corrections is not None:
        rgb[hit] = corrections.colours(rgb[hit], views[hit]).clamp(0.0, 1.0)
    return {"rgb": rgb.reshape(seen.rgb.shape), "accumulation": hit.float().reshape(seen.mask.shape)}


def seen_texture(
    mesh_mm: trimesh.Trimesh, frame: SceneFrame, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Colours of a textured mesh along rays in the unit frame, (n, 3) in [0, 1], and whether each meets it, (n,)."""
    points, ray, face = mesh_mm.ray.intersects_location(
        frame.to_world_mm(origins.double().numpy()), directions.double().numpy(), multiple_hits=False
    )
    weights = trimesh.triangles.points_to_barycentric(mesh_mm.triangles[face], points)
    uv = np.einsum("nk,nkc->nc", weights, mesh_mm.visual.uv[mesh_mm.faces[face]])
    colours = uv_to_interpolated_color(uv, mesh_mm.visual.material.baseColorTexture)[:, :3] / 255.0
    rgb, hit = torch.full((len(origins), 3), BACKGROUND), torch.zeros(len(origins), dtype=torch.bool)
    rgb[ray], hit[ray] = torch.from_numpy(colours).float(), True
    return rgb, hit


def row(seen: RenderedView, textured: dict[str, Tensor]) -> list[float]:
    """PSNR of network and texture over the mask, over what both show of it, and SSIM of both."""
    network = {"rgb": seen.rgb, "accumulation": seen.hit}
    both = seen.mask * seen.hit * textured["accumulation"]
    masks = [head_metrics(outputs, seen.photo, seen.mask, BACKGROUND) for outputs in (network, textured)]
    shown = [head_metrics(outputs, seen.photo, both, BACKGROUND) for outputs in (network, textured)]
    return [*(one["psnr"] for one in (*masks, *shown)), *(one["ssim"] for one in masks)]


def scored_views(dataset: HeadDataset, centres: Tensor, middle: Tensor, within_deg: float) -> list[int]:
    """Views of a dataset whose cameras lie within an angle of a direction (unit vector).

    Args:
        centres: camera centres in the unit frame, (views, 3).
    """
    cos = normalize(centres, dim=1) @ middle
    return [view for view in range(len(dataset)) if cos[view] >= np.cos(np.radians(within_deg))]


@torch.no_grad()
def score(opened: OpenedHead, args: Args) -> list[dict[str, str | int | float]]:
    """A line of the table for the training photos of a head, and one for those held out."""
    file, head = opened.file, opened.head
    photos = photos_of_head(opened, args.side_px)
    renderer = HeadRenderer(head, field_of_head(head, file), photos, CPU)
    mesh = mesh_of_head(head, file, TEXTURED_SPACING_MM, CPU)
    textured = textured_mesh(mesh, open_texture_photos(opened, args.texture_size), args.texture_size)
    middle = normalize(photos.training.metadata["camera_centres"].mean(dim=0), dim=0)
    lines: list[dict[str, str | int | float]] = []
    for name, dataset in (("training", photos.training), ("held out", photos.held_out)):
        if dataset is None:
            continue
        held_out = dataset is photos.held_out
        within_deg = args.within_deg if held_out else 180.0
        views = scored_views(dataset, dataset.metadata["camera_centres"], middle, within_deg)
        if not views:
            continue
        corrections = None if held_out else renderer.corrections
        rows = []
        for view in views:
            seen = renderer.render(dataset, view, held_out)
            rows.append(row(seen, textured_view(textured, dataset, view, corrections, seen)))
        means = dict(zip(COLUMNS, np.mean(rows, axis=0).tolist(), strict=True))
        method = head.provenance.get("method", file.name)
        lines.append({"method": method, "photos": f"{len(rows)} {name}", **means})
    return lines


def main(args: Args) -> None:
    """Score every run and print the table."""
    check_writable(args.out)
    heads = [OpenedHead.read(run) for run in args.runs]
    lines = [line for opened in heads for line in score(opened, args)]
    seeds = {opened.head.provenance["seed"] for opened in heads if "seed" in opened.head.provenance}
    origin = Origin(
        "python " + " ".join(sys.argv), __version__, tuple(sorted(seeds)), device_name(), METRIC, digits=DIGITS
    )
    keep_table(args.out / "texture.csv", pd.DataFrame(lines), origin)
    print(kept_markdown(args.out, "texture"))


if __name__ == "__main__":
    with exit_on_input_error():
        main(tyro.cli(Args, description=__doc__))
