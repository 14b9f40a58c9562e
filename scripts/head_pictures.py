"""Two pictures of a fit: the pictures of the viewer beside each other, and its textured mesh from three sides.

    python scripts/head_pictures.py RUN --out FOLDER

Writes viewer_pictures.jpg and textured_head.jpg. The world's y axis must point up, as that of `baseh3d synth` does.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image, ImageDraw, ImageFont
from score_texture import CPU, seen_texture

from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import check_writable
from baseh3d_ns.heads.readers import find_head_file, open_head
from baseh3d_ns.mesh.extract import mesh_of_head
from baseh3d_ns.texture.textured import TEXTURED_SPACING_MM, open_texture_photos, textured_mesh

SHOWN = ("rgb", "normal_camera", "prior_shift_mm", "photo", "error_mm")
"""Outputs of the model, by the names that the viewer has for them."""
BESIDE_DEG = 22.0
"""Azimuth of the viewer's pictures from the first photo: no photo shows the head like that."""
SIDES_DEG = (0.0, 35.0, 70.0)
"""Azimuths of the textured mesh from the first photo."""
TITLE_PX, MARGIN_PX = 30, 10
QUALITY = 90


def turned(camera: Any, azimuth_deg: float) -> Any:
    """Camera after a rotation about the y axis."""
    angle = np.radians(azimuth_deg)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    rotation = torch.tensor([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    moved = deepcopy(camera)
    moved.camera_to_worlds = (rotation @ camera.camera_to_worlds[0])[None]
    return moved


def picture(rgb: Float[torch.Tensor, "h w 3"]) -> Image.Image:
    """Picture of colours in [0, 1]."""
    return Image.fromarray((255.0 * rgb.cpu().numpy().clip(0.0, 1.0) + 0.5).astype(np.uint8))


def box_of(head: Bool[torch.Tensor, "h w"]) -> tuple[int, int, int, int]:
    """Box (left, top, right, bottom) round a head in a picture, with a margin."""
    head = head.cpu()
    if not head.any():
        raise InputError("no part of the head is in the picture: is it fitted?")
    rows, columns = torch.nonzero(head.any(dim=1))[:, 0], torch.nonzero(head.any(dim=0))[:, 0]
    (top, bottom), (left, right) = ((int(ends.min()), int(ends.max()) + 1) for ends in (rows, columns))
    height, width = head.shape
    first = max(left - MARGIN_PX, 0), max(top - MARGIN_PX, 0)
    return *first, min(right + MARGIN_PX, width), min(bottom + MARGIN_PX, height)


def beside(pictures: list[Image.Image], titles: tuple[str, ...] = ()) -> Image.Image:
    """Pictures of one size in a row, with titles above."""
    width, height = pictures[0].size
    top = TITLE_PX if titles else 0
    sheet = Image.new("RGB", (width * len(pictures), height + top), "white")
    draw = ImageDraw.Draw(sheet)
    for number, one in enumerate(pictures):
        sheet.paste(one, (number * width, top))
    for number, title in enumerate(titles):
        draw.text((number * width + 8, 6), title, fill="black", font=ImageFont.load_default(16))
    return sheet


@dataclass
class HeadPictures:
    """Draw both."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    out: Path
    """Folder to write to."""
    size: int = 640
    """Height of the cameras' pictures in pixels, of which the head is cut out."""
    texture_size: int = 2048
    """Width and height of the texture."""

    @torch.no_grad()
    def main(self) -> None:
        check_writable(self.out)
        _, pipeline, _, _ = eval_setup(self.run / "config.yml")
        dataset = pipeline.datamanager.train_dataset
        camera = deepcopy(dataset.cameras[0:1])
        camera.rescale_output_resolution(self.size / float(camera.height[0]))
        outputs = pipeline.model.get_outputs_for_camera(turned(camera, BESIDE_DEG))
        there = tuple(name for name in SHOWN if name in outputs)
        box = box_of(outputs["accumulation"][..., 0] > 0.5)
        pictures = [picture(outputs[name]).crop(box) for name in there]
        beside(pictures, there).save(self.out / "viewer_pictures.jpg", quality=QUALITY)
        file, head = find_head_file(self.run), open_head(self.run)
        photos = open_texture_photos(head, file, None, None, self.texture_size)
        mesh = textured_mesh(mesh_of_head(head, file, TEXTURED_SPACING_MM, CPU), photos, self.texture_size)
        sides, seen = [], torch.zeros(camera.height[0], camera.width[0], dtype=torch.bool)
        for azimuth in SIDES_DEG:
            rays = turned(camera, azimuth).generate_rays(camera_indices=0)
            colours, hit = seen_texture(
                mesh, dataset.metadata["frame"], rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)
            )
            sides.append(picture(colours.reshape(rays.origins.shape)))
            seen |= hit.reshape(seen.shape)
        beside([side.crop(box_of(seen)) for side in sides]).save(self.out / "textured_head.jpg", quality=QUALITY)


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(HeadPictures, description=__doc__).main()
