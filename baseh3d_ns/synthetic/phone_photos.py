"""Synthetic heads as photos that somebody took with a phone: JPEGs in one folder for each head, and the truth beside.

1. Head and cameras as in `dataset`; each view is rendered with a margin, laid over a photograph that scikit-image
   ships, and bent by the lens (OpenCV's k1, k2).
2. JPEG of everyday quality, with the focal length in EXIF; some are stored turned, as phones do, with the tag that
   says so.
3. `truth/`: `transforms.json` in nerfstudio's format in world millimetres, with the frame of the head; masks; the scan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from PIL import Image

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.extras import require_extra
from baseh3d_ns.files import whole_folder
from baseh3d_ns.frames import OPENCV_TO_OPENGL, PIXEL_CENTRE
from baseh3d_ns.synthetic.camera_path import camera_path
from baseh3d_ns.synthetic.dataset import (
    CAMERA_STREAM,
    RECIPE,
    Recipe,
    check_recipe,
    is_already_there,
    recipe_text,
    scene_id,
    unit_frame,
)
from baseh3d_ns.synthetic.head import Head, make_head
from baseh3d_ns.synthetic.identity import identity_rng
from baseh3d_ns.synthetic.light import light_up
from baseh3d_ns.synthetic.render import Photo, Renderer
from baseh3d_ns.synthetic.visibility import sphere_directions

VERSION = "photos-2"
"""Version of these sets: raise it when the same arguments would give other bytes."""
PHONE_STREAM = 7
"""Stream of `identity_rng` for lens, backgrounds and orientations."""
BACKGROUNDS = ("brick", "chelsea", "coffee", "grass", "gravel", "rocket")
"""Photographs of `skimage.data` that come with the package, without people."""
JPEG_QUALITY = 80
K1_RANGE, K2_RANGE = (-0.12, 0.08), (-0.03, 0.03)
"""Ranges of the lens's radial distortion."""
MARGIN = 0.12
"""Width of the margin that a view is rendered with, as a fraction of its size: distortion may look into it."""
FILM_DIAGONAL_MM = 43.27
"""Diagonal of 35 mm film, which equivalent focal lengths refer to."""
EXIF_IFD, ORIENTATION, MAKE, FOCAL_35MM = 0x8769, 0x0112, 0x010F, 0xA405
"""EXIF: the block with the photographic tags, and tags."""
STORED_TURNS = {1: 0, 6: 1, 3: 2, 8: 3}
"""EXIF orientation -> quarter turns, counterclockwise, of the stored pixels from the upright photo."""


@dataclass(frozen=True)
class Lens:
    """Radial distortion: r' = r (1 + k1 r^2 + k2 r^4), r in units of the focal length."""

    k1: float
    k2: float

    def source_pixels(self, camera: Pinhole) -> Float[np.ndarray, "h w 2"]:
        """Pixels (column, row) of the picture without distortion that each pixel of the photo shows."""
        columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2).astype(float)
        straight = cv2.undistortPoints(
            pixels, camera.intrinsics, np.array([self.k1, self.k2, 0.0, 0.0]), P=camera.intrinsics
        )
        return np.asarray(straight, float).reshape(camera.height, camera.width, 2)


def synthesize_photos(out: Path, subjects: int, views: int, size: int, seed: int) -> list[str]:
    """Write folders of phone photos, `views` of each of `subjects` heads, to `out`; return the folders' names.

    The heads and the cameras' poses are those of `synthesize` with the same seed. An `out` that already holds the set
    made with these arguments is left as it is.

    Raises:
        InputError: an argument makes no sense, `out` holds something else or cannot be written, or the extra `synth`
            is not installed.
    """
    recipe = Recipe(subjects, views, size, seed, noise=(), contact_sheet=False, version=VERSION)
    check_recipe(recipe)
    names = [scene_id(seed, index) for index in range(subjects)]
    if is_already_there(out, recipe):
        print(f"{out} already holds this set: nothing to do.")
        return names
    require_extra("synth")
    with whole_folder(out) as unfinished:
        for index, name in enumerate(progress_bar(names, desc="Synthetic heads", unit="head")):
            write_photos(unfinished / name, recipe, index)
        (unfinished / RECIPE).write_text(recipe_text(recipe))
    return names


def write_photos(folder: Path, recipe: Recipe, index: int) -> None:
    """Make and write the photos of one subject, with their truth."""
    head = make_head(recipe.seed, index)
    cameras = camera_path(
        head.surface.vertices_mm, recipe.views, recipe.size, identity_rng(recipe.seed, index, CAMERA_STREAM)
    )
    rng = identity_rng(recipe.seed, index, PHONE_STREAM)
    lens = Lens(k1=float(rng.uniform(*K1_RANGE)), k2=float(rng.uniform(*K2_RANGE)))
    (folder / "truth" / "masks").mkdir(parents=True)
    renderer = Renderer(head)
    lighting = light_up(head.visible_cosine, sphere_directions(), np.eye(3))
    names = []
    bar = progress_bar(cameras, desc="Photographs", unit="photo")
    for view, camera in enumerate(bar):
        wide, margin = _with_margin(camera)
        behind = background(BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))], wide.width, rng)
        photo = _bent(renderer.photograph(wide, lighting, behind), camera, margin, lens)
        name = f"IMG_{view + 1:04d}"
        orientation = int(rng.choice(list(STORED_TURNS))) if view % 2 else 1
        _save_jpeg(folder / f"{name}.jpg", photo.rgb, float(camera.intrinsics[0, 0]), orientation)
        Image.fromarray(photo.mask).save(folder / "truth" / "masks" / f"{name}.png")
        names.append(name)
    (folder / "truth" / "transforms.json").write_text(json.dumps(transforms(head, cameras, lens, names), indent=1))
    trimesh.Trimesh(head.scan.vertices_mm, head.scan.faces, process=False).export(folder / "truth" / "scan.ply")
    (folder / "truth" / "landmarks.json").write_text(json.dumps(head.landmarks, indent=1) + "\n")


def background(name: str, size: int, rng: np.random.Generator) -> Float[np.ndarray, "s s 3"]:
    """A random square part of a photograph of scikit-image, sRGB in 0..1, mirrored or not."""
    from skimage import data

    picture = np.asarray(getattr(data, name)())
    picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    side = int(min(picture.shape[:2]) * rng.uniform(0.7, 1.0))
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    part = cv2.resize(picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(part[:, :: int(rng.choice([1, -1]))] / 255.0, float)


def transforms(head: Head, cameras: Sequence[Pinhole], lens: Lens, names: Sequence[str]) -> dict[str, object]:
    """Content of nerfstudio's `transforms.json`, in world millimetres, with the frame of the head."""
    intrinsics, frame = cameras[0].intrinsics, unit_frame(head)
    shown = [{"file_path": f"../{name}.jpg", "mask_path": f"masks/{name}.png"} for name in names]
    return {
        "camera_model": "OPENCV",
        **{"fl_x": intrinsics[0, 0], "fl_y": intrinsics[1, 1]},
        **{"cx": intrinsics[0, 2] + PIXEL_CENTRE, "cy": intrinsics[1, 2] + PIXEL_CENTRE},
        **{"w": cameras[0].width, "h": cameras[0].height},
        **{"k1": lens.k1, "k2": lens.k2, "p1": 0.0, "p2": 0.0},
        "head": {
            "version": 1,
            "centre": list(frame.centre_mm),
            "radius": frame.radius_mm,
            "up": [0.0, 1.0, 0.0],
            "ahead": [0.0, 0.0, 1.0],
            "mm_per_unit": 1.0,
            "scale_source": "given",
            "scale_uncertainty_percent": 0.0,
            "cut": None,
        },
        "frames": [
            {**files, "transform_matrix": _c2w_opengl(camera).tolist()}
            for files, camera in zip(shown, cameras, strict=True)
        ],
    }


def _c2w_opengl(camera: Pinhole) -> Float[np.ndarray, "4 4"]:
    matrix = np.eye(4)
    matrix[:3, :3] = camera.rotation.T @ OPENCV_TO_OPENGL
    matrix[:3, 3] = camera.centre_mm
    return matrix


def _with_margin(camera: Pinhole) -> tuple[Pinhole, int]:
    """The same camera with a wider picture, and the width of the margin in pixels."""
    margin = int(np.ceil(MARGIN * camera.width))
    intrinsics = camera.intrinsics + np.array([[0.0, 0.0, margin], [0.0, 0.0, margin], [0.0, 0.0, 0.0]])
    wide = replace(camera, intrinsics=intrinsics, width=camera.width + 2 * margin, height=camera.height + 2 * margin)
    return wide, margin


def _bent(photo: Photo, camera: Pinhole, margin: int, lens: Lens) -> Photo:
    """A picture with a margin as the lens shows it, without the margin."""
    columns, rows = (lens.source_pixels(camera) + margin).astype(np.float32).transpose(2, 0, 1)
    rgb = cv2.remap(photo.rgb, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.remap(photo.mask, columns, rows, cv2.INTER_LINEAR)
    return Photo(np.asarray(rgb, np.uint8), np.where(mask > 127, 255, 0).astype(np.uint8))


def _save_jpeg(path: Path, rgb: UInt8[np.ndarray, "h w 3"], focal_px: float, orientation: int) -> None:
    """Write a JPEG as a phone does: the focal length in EXIF, turned pixels with the tag that turns them back."""
    exif = Image.Exif()
    exif[MAKE] = "baseh3d synth"
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = round(focal_px * FILM_DIAGONAL_MM / math.hypot(rgb.shape[0], rgb.shape[1]))
    Image.fromarray(np.rot90(rgb, STORED_TURNS[orientation])).save(path, quality=JPEG_QUALITY, exif=exif)
