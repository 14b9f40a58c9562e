"""One scene of an H3DS root, read and checked: cameras, frame, images, masks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.cameras import Pinhole, decompose
from baseh3d_ns.data.camera_checks import check_apart, check_millimetres, check_principal_points, check_sees_head
from baseh3d_ns.data.h3ds_root import H3dsRoot
from baseh3d_ns.data.pictures import SUFFIXES, check_not_inverted, picture_size, read_mask
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame

SINGULAR = 1e-12
"""Determinant of P's left half, its largest entry brought to 1, below which P is no camera."""
AGAIN = "write it again, or get it again from where the scene came from"


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
    """A scene with all its views that can be used."""

    scene_id: str
    frame: SceneFrame
    views: tuple[View, ...]


def load_scene(root: H3dsRoot, scene_id: str, needed: Collection[int] | None = None) -> H3dsScene:
    """Read the cameras of a scene and check all its files, before any long work starts; as long as they stay as they
    are, not twice.

    Args:
        root: the dataset.
        scene_id: its scene.
        needed: numbers of the views whose camera and mask have to look right; others that do not are left out, with a
            line in the log, for a photo of a hundred may be an odd one. None: all.

    Raises:
        InputError: a file is missing, a photo damaged, one turned or of the wrong size, counts differ, cameras are not
            finite or all on one spot, the frame is singular; in a needed view, or in all, the mask is damaged, empty,
            full or inverted, or the camera does not see the head.
    """
    folder = root.path / scene_id
    helper = root.h3ds.helper
    if not folder.is_dir():
        have = [name for name in root.scene_ids() if (root.path / name).is_dir()]
        raise InputError(f"{folder} is missing: put it there, or choose a scene that is there ({', '.join(have[:5])})")
    images = _pictures(folder / "image", helper.scene_images(scene_id))
    masks = _pictures(folder / "mask", helper.scene_masks(scene_id))
    cameras_path = Path(helper.scene_cameras(scene_id))
    stats = [path.stat() for path in (*images, *masks, cameras_path) if path.is_file()]
    stamp = tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
    chosen = None if needed is None else frozenset(needed)
    return _loaded(scene_id, tuple(images), tuple(masks), cameras_path, chosen, stamp)


@lru_cache(maxsize=4)
def _loaded(
    scene_id: str,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    cameras_path: Path,
    needed: frozenset[int] | None,
    stamp: tuple,
) -> H3dsScene:
    """The scene of those files; `stamp` tells changed files from those that were read before."""
    world_mats, frame = read_cameras(cameras_path, len(images))
    views, wrong = [], []
    for index, (image, mask, world_mat) in enumerate(zip(images, masks, world_mats, strict=True)):
        camera = Pinhole(*decompose(world_mat), *_checked_size(image, mask))
        try:
            inside = read_mask(mask)
            check_not_inverted(mask, inside)
            check_sees_head(camera, inside, frame, f"{cameras_path}: 'world_mat_{index}'")
        except InputError as error:
            wrong.append(error)
            if needed is None or index in needed:
                raise
        else:
            views.append(View(index, image, mask, camera))
    if not views:
        raise wrong[0]
    if wrong:
        CONSOLE.log(
            f"Left out {len(wrong)} of {len(images)} photos whose camera or mask looks wrong. The first: {wrong[0]}"
        )
    cameras = [view.camera for view in views]
    check_apart(cameras, [view.index for view in views], frame, cameras_path)
    check_principal_points(cameras, cameras_path)
    return H3dsScene(scene_id=scene_id, frame=frame, views=tuple(views))


def _pictures(folder: Path, expected: list[str]) -> list[Path]:
    """The files of a folder of photos or masks: those expected, or the same names as another kind of image.

    Raises:
        InputError: one is missing, or there are others of the same kind.
    """
    names = [Path(path).name for path in expected]
    try:
        there = {path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}): complete the scene's folder") from error
    by_stem = {Path(name).stem: name for name in sorted(there) if Path(name).suffix.lower() in SUFFIXES}
    found = [name if name in there else by_stem.get(Path(name).stem) for name in names]
    kinds = {Path(name).suffix for name in found if name} | {Path(names[0]).suffix}
    alike = sorted(name for name in there if Path(name).suffix in kinds)
    missing = next((name for name, file in zip(names, found, strict=True) if file is None), None)
    if missing is not None or len(alike) != len(names):
        others = sorted(there - set(names))[:3]
        detail = f"{missing} is missing" if missing else f"remove what is not one of its {len(names)} views"
        raise InputError(
            f"{folder} holds {len(alike)} files but the scene has {len(names)} views: {detail}"
            + (f" (it holds {', '.join(others)})" if others else "")
        )
    return [folder / name for name in found if name]


def read_cameras(path: Path, count: int) -> tuple[list[Float[np.ndarray, "3 4"]], SceneFrame]:
    """P ~ K [R | t] of `count` views (pixels from world mm), entries up to 1 in the left half, and the scene's frame.

    Raises:
        InputError: the file is missing, damaged, lacks a matrix, holds NaN, its scale_mat_0 is singular, or its unit
            is not the millimetre.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: put the cameras of the scene there")
    try:
        with np.load(path, allow_pickle=False) as archive:
            needed = {f"world_mat_{index}" for index in range(count)} | {"scale_mat_0"}
            matrices = {name: _real(archive[name]) for name in needed & set(archive.files)}
    except (ValueError, OSError, EOFError, KeyError, SyntaxError) as error:
        raise InputError(f"{path} is damaged or no array archive (.npz): {AGAIN}") from error
    except Exception as error:  # zipfile.BadZipFile and zlib.error share no base but this
        raise InputError(f"{path} is damaged: {AGAIN}") from error
    for name in [f"world_mat_{index}" for index in range(count)] + ["scale_mat_0"]:
        if name not in matrices:
            raise InputError(
                f"{path} has no matrix '{name}', but the scene has {count} views: add it, or correct that number "
                "in the h3ds configuration"
            )
        if matrices[name].shape != (4, 4) or not np.isfinite(matrices[name]).all():
            raise InputError(f"{path}: '{name}' is not a finite 4x4 matrix: correct it")
    try:
        frame = SceneFrame.from_scale_mat(matrices["scale_mat_0"])
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: scale_mat_0 does not map the unit ball to the world: {error}") from error
    check_millimetres(frame, path)
    world_mats = []
    for index in range(count):
        world_mat = matrices[f"world_mat_{index}"][:3]
        # Any multiple of P is the same camera; a power of two leaves all digits as they are.
        _, exponent = np.frexp(np.abs(world_mat[:, :3]).max())
        world_mat = np.ldexp(world_mat, -exponent)
        if not np.isfinite(world_mat).all() or abs(np.linalg.det(world_mat[:, :3])) < SINGULAR:
            raise InputError(f"{path}: 'world_mat_{index}' is singular, so it is no camera K [R | t]: correct it")
        world_mats.append(world_mat)
    return world_mats, frame


def _real(matrix: np.ndarray) -> np.ndarray:
    """The matrix in double precision; `ValueError` for complex numbers, of which NumPy would drop a part."""
    if np.iscomplexobj(matrix):
        raise ValueError("complex numbers")
    return np.asarray(matrix, dtype=np.float64)


def _checked_size(image: Path, mask: Path) -> tuple[int, int]:
    """Width and height of the image, which the mask must share (headers only).

    Cameras and masks count pixels; an EXIF orientation leaves open which, those stored or those shown.
    """
    sizes = []
    for path in (image, mask):
        width, height, orientation = picture_size(path)
        if orientation != 1:
            raise InputError(
                f"{path} is stored turned (EXIF orientation {orientation}), and cameras.npz cannot say whether it "
                "counts pixels as stored or as shown: save it as its camera sees it, without that tag"
            )
        sizes.append((width, height))
    if sizes[0] != sizes[1]:
        (w, h), (mw, mh) = sizes
        raise InputError(f"{mask} is {mw}x{mh} but its image {image.name} is {w}x{h}: make the mask again at that size")
    return sizes[0]
