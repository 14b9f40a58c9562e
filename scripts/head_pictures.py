"""Three pictures of a fit: those of the viewer beside each other, its textured mesh from three sides as three.js draws
it, and pictures of its film from the prior to the head.

    python scripts/head_pictures.py RUN --out FOLDER

Writes viewer_pictures.jpg, textured_head.jpg and turntable.jpg; needs chromium and chromedriver. The world's y axis
must point up and the head must look along z, as those of `baseh3d synth` do.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
import tyro
from jaxtyping import Bool, Float, UInt8
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image, ImageDraw, ImageFont
from three_js import check_browser, three_js_pictures

from baseh3d_ns.commands.heads import Export
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import check_writable
from baseh3d_ns.mesh.extract import usual_device
from baseh3d_ns.viewer.turntable import frames, prior_and_fit

SHOWN = ("rgb", "normal_camera", "prior_shift_mm", "photo", "error_mm")
"""Outputs of the model, by the names that the viewer has for them."""
BESIDE_DEG = 22.0
"""Azimuth of the viewer's pictures from the first photo: no photo shows the head like that."""
SIDES_DEG = (0.0, 35.0, 70.0)
"""Azimuths of the textured mesh from the front."""
FILM, FILM_SHOWN = 10, (0, 2, 3, 6, 9)
"""Pictures of the film, and those of them that are drawn: the prior (2), a stage between, the head (2)."""
TITLE_PX, MARGIN_PX = 30, 10
WHITE = 250
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


def cropped(pictures: list[UInt8[np.ndarray, "h w 3"]]) -> Image.Image:
    """Pictures in a row, each cut to the box of what any of them shows on white."""
    box = box_of(torch.from_numpy(np.min(pictures, axis=0).min(axis=2) < WHITE))
    return beside([Image.fromarray(one).crop(box) for one in pictures])


@dataclass
class HeadPictures:
    """Pictures of one run, for the README."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    out: Path
    """Folder to write to."""
    size: int = 640
    """Height of the cameras' pictures in pixels, of which the head is cut out."""

    def main(self) -> None:
        check_writable(self.out)
        check_browser()
        self.viewer().save(self.out / "viewer_pictures.jpg", quality=QUALITY)
        cropped(self.textured()).save(self.out / "textured_head.jpg", quality=QUALITY)
        cropped(self.film()).save(self.out / "turntable.jpg", quality=QUALITY)

    @torch.no_grad()
    def viewer(self) -> Image.Image:
        """Outputs of the model from a direction that no photo has."""
        _, pipeline, _, _ = eval_setup(self.run / "config.yml")
        camera = deepcopy(pipeline.datamanager.train_dataset.cameras[0:1])
        camera.rescale_output_resolution(self.size / float(camera.height[0]))
        outputs = pipeline.model.get_outputs_for_camera(turned(camera, BESIDE_DEG))
        there = tuple(name for name in SHOWN if name in outputs)
        box = box_of(outputs["accumulation"][..., 0] > 0.5)
        return beside([picture(outputs[name]).crop(box) for name in there], there)

    def textured(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """The exported mesh from three sides."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "head.glb"
            Export(self.run, file).main()
            low, high = trimesh.load(file).bounds
            return three_js_pictures(
                file, 0.5 * (low + high), 0.5 * float(np.linalg.norm(high - low)), SIDES_DEG, self.size
            )

    def film(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """Pictures of the turntable."""
        prior, fit = prior_and_fit(self.run)
        film = frames(prior, fit, FILM, self.size, "rgb", usual_device())
        return [one for index, one in enumerate(film) if index in FILM_SHOWN]


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(HeadPictures, description=__doc__).main()
