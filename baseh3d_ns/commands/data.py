"""`baseh3d capture | synth | models`: commands that make data, or fetch what making them needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from baseh3d_ns.bounds import Count, Pixels, Seed, Weight
from baseh3d_ns.errors import InputError
from baseh3d_ns.synthetic.noise_parts import NOISE_PARTS, NoisePart


@dataclass
class Capture:
    """Make a folder that `head-data` reads from photos of a head, or a video: cameras, silhouettes, millimetres."""

    photos: tyro.conf.Positional[Path]
    """Folder of photos (masks of the same names in its folder masks, where you have them), with a transforms.json or a
    COLMAP model where another program has found the cameras; or a video."""
    out: Path | None = None
    """Folder to make; by default `head` in that of the photos, or NAME-head beside a video."""
    pupils_mm: Weight = 0.0
    """Distance between the person's pupils in millimetres (adults: 55 to 72), for the scale; 0: not known."""
    mm_per_unit: Weight = 0.0
    """Millimetres in the unit of the cameras' positions, where another program has found them; 0: not known."""
    unit: Literal["mm", "cm", "m"] | None = None
    """Unit of the cameras' positions, where another program has found them; not of Metashape's, which nerfstudio
    leaves in one of their own: give --pupils-mm, or as --mm-per-unit 1000 x the scale of the component in its
    .xml."""
    neck_mm: Weight = 90.0
    """Distance below the chin, in millimetres, of the plane that head and neck end at, where silhouettes go on to the
    borders of the photos or farther than a head; with one photo always."""
    estimate_cameras: bool = False
    """Estimate the cameras even where a transforms.json or a COLMAP model has them."""
    turning_head: bool = False
    """The head turns before a camera that stands still, so only what lies in the silhouettes tells the cameras."""
    overwrite: bool = False
    """Replace an earlier capture."""

    def main(self) -> None:
        from baseh3d_ns.capture.command import CaptureOptions, capture, usual_out
        from baseh3d_ns.own_photos.metric_scale import ScaleOptions

        out = (self.out or usual_out(self.photos)).resolve()
        scale = ScaleOptions(self.mm_per_unit, self.pupils_mm, self.unit)
        options = CaptureOptions(
            Path(os.path.abspath(self.photos)),
            out,
            scale,
            self.neck_mm,
            self.estimate_cameras,
            self.turning_head,
            self.overwrite,
        )
        print(capture(options))


@dataclass
class Synth:
    """Make synthetic heads (anny body model) in the H3DS layout, in millimetres."""

    out: tyro.conf.Positional[Path]
    """Folder to make; it must not hold anything else."""
    subjects: Count = 8
    """Number of heads."""
    views: Count = 24
    """Photos of each head (at least 3)."""
    size: Pixels = 256
    """Width and height of the photos in pixels."""
    seed: Seed = 0
    """Same seed, same heads."""
    noise: bool = False
    """Add what real captures have: poses, focal lengths, light and colours that differ, noise, ragged masks."""
    noise_parts: tuple[NoisePart, ...] = NOISE_PARTS
    """Kinds of errors, with --noise: of the camera's pose and focal length, exposure, white balance, the sensor, light
    that turns with the camera, the mask's border."""
    contact_sheet: bool = False
    """Also write contact_sheet.png: five views of every head."""
    photos: bool = False
    """Write folders of phone photos (clutter behind, a lens, EXIF) with the truth beside, not the H3DS layout."""

    def main(self) -> None:
        from baseh3d_ns.synthetic.dataset import synthesize
        from baseh3d_ns.synthetic.phone_photos import synthesize_photos

        if self.photos:
            if self.noise or self.contact_sheet or self.noise_parts != NOISE_PARTS:
                raise InputError("--photos goes with neither --noise nor --contact-sheet: leave these out")
            synthesize_photos(self.out.resolve(), self.subjects, self.views, self.size, self.seed)
            return
        if self.noise != bool(self.noise_parts) and self.noise_parts != NOISE_PARTS:
            raise InputError("--noise-parts are the kinds of errors of --noise: give both, and at least one kind")
        parts = tuple(part for part in NOISE_PARTS if part in self.noise_parts) if self.noise else ()
        synthesize(self.out.resolve(), self.subjects, self.views, self.size, self.seed, parts, self.contact_sheet)


@dataclass
class Models:
    """Fetch the pretrained networks for faces and silhouettes into the user's cache, and list them."""

    def main(self) -> None:
        from baseh3d_ns.pretrained.model_files import fetch, listing, models_folder

        fetch(models_folder())
        print(listing(models_folder()))
