"""Print how well a textured mesh fits the photos of its head, beside the colour network of the same run.

Usage: python scripts/score_texture.py --runs RUN1 RUN2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
import tyro
from torch import Tensor
from torch.nn.functional import normalize
from trimesh.visual.color import uv_to_interpolated_color

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.evaluation.head_photos import photos_of_head
from baseh3d_ns.evaluation.photo_scores import HeadRenderer, RenderedView
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import find_head_file, open_head
from baseh3d_ns.mesh.extract import mesh_of_head
from baseh3d_ns.models.sdf_model import BACKGROUND
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.image_metrics import head_metrics
from baseh3d_ns.texture.textured import TEXTURED_SPACING_MM, open_texture_photos, textured_mesh

SAID = (
    "PSNR over the mask {:.2f} dB by the network, {:.2f} by the texture; where both show the head {:.2f}, {:.2f}; "
    "SSIM {:.3f}, {:.3f}"
)
CPU = torch.device("cpu")


@dataclass
class Args:
    runs: tuple[Path, ...]
    """Run folders or head files."""
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
    points, ray, face = mesh_mm.ray.intersects_location(
        frame.to_world_mm(origins.double().numpy()), directions.double().numpy(), multiple_hits=False
    )
    weights = trimesh.triangles.points_to_barycentric(mesh_mm.triangles[face], points)
    uv = np.einsum("nk,nkc->nc", weights, mesh_mm.visual.uv[mesh_mm.faces[face]])
    colours = uv_to_interpolated_color(uv, mesh_mm.visual.material.baseColorTexture)[:, :3] / 255.0
    rgb, hit = torch.full((len(origins), 3), BACKGROUND), torch.zeros(len(origins), 1)
    rgb[ray], hit[ray] = torch.from_numpy(colours).float(), 1.0
    if corrections is not None:
        rgb[ray] = corrections.colours(rgb[ray], views[ray]).clamp(0.0, 1.0)
    return {"rgb": rgb.reshape(seen.rgb.shape), "accumulation": hit.reshape(seen.mask.shape)}


def row(seen: RenderedView, textured: dict[str, Tensor]) -> list[float]:
    """PSNR of network and texture over the mask, over what both show of it, and SSIM of both."""
    network = {"rgb": seen.rgb, "accumulation": seen.hit}
    both = seen.mask * seen.hit * textured["accumulation"]
    masks = [head_metrics(outputs, seen.photo, seen.mask, BACKGROUND) for outputs in (network, textured)]
    shown = [head_metrics(outputs, seen.photo, both, BACKGROUND) for outputs in (network, textured)]
    return [*(one["psnr"] for one in (*masks, *shown)), *(one["ssim"] for one in masks)]


@torch.no_grad()
def main(args: Args) -> None:
    """Score every run."""
    for run in args.runs:
        file, head = find_head_file(run), open_head(run)
        photos = photos_of_head(head, file, None, None, args.side_px)
        renderer = HeadRenderer(head, field_of_head(head, file), photos, CPU)
        mesh = mesh_of_head(head, file, TEXTURED_SPACING_MM, CPU)
        texture_photos = open_texture_photos(head, file, None, None, args.texture_size)
        textured = textured_mesh(mesh, texture_photos, args.texture_size)
        middle = normalize(photos.training.metadata["camera_centres"].mean(dim=0), dim=0)
        for name, dataset in (("training", photos.training), ("held out", photos.held_out)):
            if dataset is None:
                continue
            held_out = dataset is photos.held_out
            cos = normalize(dataset.metadata["camera_centres"], dim=1) @ middle
            views = [view for view in range(len(dataset)) if cos[view] >= np.cos(np.radians(args.within_deg))]
            views = views if held_out else list(range(len(dataset)))
            corrections = None if held_out else renderer.corrections
            rows = []
            for view in views:
                seen = renderer.render(dataset, view, held_out)
                rows.append(row(seen, textured_view(textured, dataset, view, corrections, seen)))
            print(f"{run.name}, {name}, {len(rows)} photos: {SAID.format(*np.mean(rows, axis=0))}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
