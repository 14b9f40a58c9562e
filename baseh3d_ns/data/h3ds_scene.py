"""One scene of an H3DS root, read and checked: cameras, frame, images, masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from baseh3d_ns.cameras import Pinhole, decompose
from baseh3d_ns.data.h3ds_root import H3dsRoot
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame

MASK_THRESHOLD = 127
"""Mask values above this are head."""


@dataclass(frozen=True)
class View:
    """A photo, its mask and its camera."""

    index: int
    """Number of the view in its scene."""
    image_path: Path
    mask_path: Path
    camera: Pinhole
    """Camera in world millimetres; its width and height are those of image and mask."""


@dataclass(frozen=True)
class H3dsScene:
    """A scene with all its views."""

    scene_id: str
    frame: SceneFrame
    views: tuple[View, ...]


def load_scene(root: H3dsRoot, scene_id: str) -> H3dsScene:
    """Read the cameras of a scene and check all its files, before any long work starts.

    Raises:
        InputError: a file is missing, damaged or of the wrong size, counts differ, cameras are not finite, the frame is
            singular, a mask is empty, full or inverted.
    """
    folder = root.path / scene_id
    helper = root.h3ds.helper
    count = helper.scene_views(scene_id)
    if not folder.is_dir():
        have = [name for name in root.scene_ids() if (root.path / name).is_dir()]
        raise InputError(f"{folder} is missing: unzip that scene, or choose one that is there ({', '.join(have[:5])})")
    images = [Path(path) for path in helper.scene_images(scene_id)]
    masks = [Path(path) for path in helper.scene_masks(scene_id)]
    for kind, paths in (("image", images), ("mask", masks)):
        found = len([path for path in (folder / kind).glob(f"*{paths[0].suffix}") if not path.name.startswith(".")])
        missing = next((path for path in paths if not path.is_file()), None)
        if missing is not None or found != count:
            detail = f"{missing.name} is missing" if missing else f"remove what is not one of its {count} views"
            raise InputError(f"{folder / kind} holds {found} files but the scene has {count} views: {detail}")
    cameras_path = Path(helper.scene_cameras(scene_id))
    world_mats, frame = read_cameras(cameras_path, count)
    views = []
    for index, (image, mask, world_mat) in enumerate(zip(images, masks, world_mats, strict=True)):
        width, height = _checked_size(image, mask)
        _check_mask(mask, read_mask(mask))
        views.append(View(index, image, mask, Pinhole(*decompose(world_mat), width, height)))
    return H3dsScene(scene_id=scene_id, frame=frame, views=tuple(views))


def read_cameras(path: Path, count: int) -> tuple[list[Float[np.ndarray, "3 4"]], SceneFrame]:
    """P = K [R | t] of `count` views (pixels from world mm) and the scene's frame.

    Raises:
        InputError: the file is missing, damaged, lacks a matrix, holds NaN, or its scale_mat_0 is singular.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: unzip the scene again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            matrices = {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, SyntaxError) as error:
        raise InputError(f"{path} is damaged or no array archive: unzip the scene again") from error
    except Exception as error:  # zipfile.BadZipFile and zlib.error share no base but this
        raise InputError(f"{path} is damaged: unzip the scene again") from error
    for name in [f"world_mat_{index}" for index in range(count)] + ["scale_mat_0"]:
        if name not in matrices:
            raise InputError(f"{path} has no matrix '{name}', but the scene has {count} views: unzip the scene again")
        if matrices[name].shape != (4, 4) or not np.isfinite(matrices[name]).all():
            raise InputError(f"{path}: '{name}' is not a finite 4x4 matrix: unzip the scene again")
    try:
        frame = SceneFrame.from_scale_mat(matrices["scale_mat_0"])
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: scale_mat_0 does not map the unit ball to the world: {error}") from error
    world_mats = [matrices[f"world_mat_{index}"][:3] for index in range(count)]
    for index, world_mat in enumerate(world_mats):
        if abs(np.linalg.det(world_mat[:, :3])) < 1e-12:
            raise InputError(f"{path}: 'world_mat_{index}' is singular, so it is no camera: unzip the scene again")
    return world_mats, frame


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An RGB image; grey and RGBA are converted.

    Raises:
        InputError: not an image, or cut off.
    """
    return np.asarray(_open_image(path, "RGB"))


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """True on the head.

    Raises:
        InputError: not an image, or cut off.
    """
    return np.asarray(_open_image(path, "L")) > MASK_THRESHOLD


def _open_image(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not a readable image: unzip the scene again") from error


def _checked_size(image: Path, mask: Path) -> tuple[int, int]:
    """Width and height of the image, which the mask must share (headers only)."""
    sizes = []
    for path in (image, mask):
        try:
            with Image.open(path) as opened:
                sizes.append(opened.size)
        except (OSError, Image.DecompressionBombError) as error:
            raise InputError(f"{path} is not a readable image: unzip the scene again") from error
    if sizes[0] != sizes[1]:
        (w, h), (mw, mh) = sizes
        raise InputError(f"{mask} is {mw}x{mh} but its image {image.name} is {w}x{h}: make the mask again at that size")
    return sizes[0]


def _check_mask(path: Path, mask: Bool[np.ndarray, "h w"]) -> None:
    if not mask.any():
        raise InputError(f"{path} is all black, so it shows no head: make the mask again (white = head)")
    if mask.all():
        raise InputError(
            f"{path} is all white, so it cuts out no head: make the mask again (white = head, black = not)"
        )
    corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
    height, width = mask.shape
    if corners.all() and not mask[height // 2, width // 2]:
        raise InputError(f"{path} looks inverted (white corners, black middle): invert it, white is the head")
