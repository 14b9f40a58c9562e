"""Scenes in the H3DS layout written anew as one's own photos: another world, lens distortion, `transforms.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import load_scene
from baseh3d_ns.data.pictures import read_mask, read_photo
from baseh3d_ns.own_photos.transforms_json import read_transforms

NO_DISTORTION = (0.0,) * 5


@dataclass(frozen=True)
class World:
    """Similarity from world millimetres to the world of a `transforms.json`: x = scale R x_mm + shift."""

    scale: float = 1e-3
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation vector."""
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def turn(self) -> np.ndarray:
        return Rotation.from_rotvec(self.rotation).as_matrix()

    def points(self, points_mm: np.ndarray) -> np.ndarray:
        return self.scale * points_mm @ self.turn.T + self.shift

    def c2w(self, camera: Pinhole) -> np.ndarray:
        """Camera to world, OpenGL axes."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.turn @ camera.rotation.T @ np.diag([1.0, -1.0, -1.0])
        matrix[:3, 3] = self.points(camera.centre_mm[None])[0]
        return matrix


ELSEWHERE = World(0.0123, (0.7, -1.9, 0.4), (3.0, -2.0, 5.0))
"""A world as structure from motion leaves it."""
AXES = {"up": ELSEWHERE.turn[:, 1].tolist(), "ahead": ELSEWHERE.turn[:, 2].tolist()}
BLOCK = {"version": 1, **AXES, "mm_per_unit": 1.0 / ELSEWHERE.scale}
"""The block that a capture before 0.3.0 would have written of the egg, which has no face."""


def distorted(picture: np.ndarray, k: np.ndarray, distortion: Sequence[float], linear: bool = True) -> np.ndarray:
    """A picture as a lens with distortion (OpenCV's order) would have taken it."""
    height, width = picture.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 1, 2).astype(float)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-10)
    source = cv2.undistortPointsIter(grid, k, np.array(distortion), None, k, criteria).reshape(height, width, 2)
    how = cv2.INTER_CUBIC if linear else cv2.INTER_NEAREST
    return cv2.remap(picture, *np.moveaxis(source.astype(np.float32), 2, 0), how, borderMode=cv2.BORDER_REPLICATE)


def write_own_photos(
    root: Path,
    scene: str,
    folder: Path,
    world: World = ELSEWHERE,
    distortion: Sequence[float] = NO_DISTORTION,
    views: Sequence[int] | None = None,
    **block: Any,
) -> dict[str, Any]:
    """Write photos, masks and `transforms.json`; its content is returned.

    Args:
        distortion: k1, k2, p1, p2, k3.
        views: views of the scene; None: all.
        block: what else to put in the file.
    """
    opened = open_h3ds(root)
    read = load_scene(opened, opened.resolve_scene(scene))
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    frames = []
    for view in [read.views[index] for index in views or range(len(read.views))]:
        photo, mask = read_photo(view.image_path), read_mask(view.mask_path).astype(np.uint8) * 255
        k = view.camera.intrinsics
        if any(distortion):
            photo, mask = distorted(photo, k, distortion), distorted(mask, k, distortion)
        Image.fromarray(photo).save(folder / "images" / f"p{view.index:02d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{view.index:02d}.png")
        frames.append(
            {
                "file_path": f"images/p{view.index:02d}.png",
                "mask_path": f"masks/p{view.index:02d}.png",
                "fl_x": k[0, 0],
                "fl_y": k[1, 1],
                "cx": k[0, 2] + 0.5,
                "cy": k[1, 2] + 0.5,
                "w": view.camera.width,
                "h": view.camera.height,
                "transform_matrix": world.c2w(view.camera).tolist(),
            }
        )
    names = ("k1", "k2", "p1", "p2", "k3")
    meta = {"camera_model": "OPENCV", **dict(zip(names, distortion, strict=True)), **block, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(meta))
    return meta


def write_colmap(plain: Path, folder: Path, text: bool) -> None:
    """Write own photos anew, with a COLMAP model instead of their `transforms.json`."""
    from nerfstudio.data.utils import colmap_parsing_utils as colmap

    cameras, images = {}, {}
    capture = read_transforms(plain / "transforms.json")
    for number, shot in enumerate(capture.shots, start=1):
        k = shot.lens.intrinsics
        params = np.array([k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5, 0.0, 0.0, 0.0, 0.0])
        cameras[number] = colmap.Camera(number, "OPENCV", shot.lens.width, shot.lens.height, params)
        images[number] = colmap.Image(
            number,
            colmap.rotmat2qvec(shot.rotation),
            -shot.rotation @ shot.centre,
            number,
            Path(shot.name).name,
            np.zeros((1, 2)),
            np.array([-1]),
        )
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    shutil.copytree(plain / "images", folder / "images")
    shutil.copytree(plain / "masks", folder / "masks")
    if text:
        colmap.write_cameras_text(cameras, model / "cameras.txt")
        colmap.write_images_text(images, model / "images.txt")
    else:
        colmap.write_cameras_binary(cameras, model / "cameras.bin")
        colmap.write_images_binary(images, model / "images.bin")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a `transforms.json`."""
    path = folder / "transforms.json"
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))
