"""COLMAP models: `cameras` and `images`, binary or text, by nerfstudio's reader."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import temporary_folder
from baseh3d_ns.own_photos.masks import find_mask
from baseh3d_ns.own_photos.photo_sizes import counted_size
from baseh3d_ns.own_photos.shots import LARGEST, Capture, Shot, check_shots, lens_of, spellings

FOLDERS = ("", "sparse/*", "colmap/sparse/*", "sparse", "dense/sparse")
"""Folders, within that of the data, that a model is looked for in; of several beside each other, the one with most
photos is taken: COLMAP writes one for each group of photos that it could not connect."""
PARTS = ("sparse", "colmap")
"""Names of folders that are parts of a project; its photos may lie beside them."""
UNDISTORTED = "dense"
"""Name of the folder of COLMAP's undistorted models, photos and all; photos outside of it are still distorted."""
PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
"""Names of the parameters of COLMAP's perspective camera models; f is both focal lengths."""
UNKNOWN = "\ufffd"
"""Character for bytes that are none."""
REMEDY = "let COLMAP write the model again"


def find_model(folder: Path) -> Path | None:
    """Folder of the COLMAP model in a folder of data; None where there is none."""
    for name in FOLDERS:
        models = [model for model in (sorted(folder.glob(name)) if name else [folder]) if _suffix(model)]
        if models:
            return max(models, key=_count_of_images)
    return None


def _suffix(model: Path) -> str | None:
    """Suffix of the files of a model; None where there is none."""
    for suffix in (".bin", ".txt"):
        if (model / f"cameras{suffix}").is_file() and (model / f"images{suffix}").is_file():
            return suffix
    return None


def _count_of_images(model: Path) -> int:
    """Number of images that a model says it has; a binary file begins with it, a text file has two lines for each."""
    file = model / f"images{_suffix(model)}"
    if file.suffix == ".bin":
        with file.open("rb") as stream:
            return int.from_bytes(stream.read(8), "little")
    return sum(not line.startswith(b"#") for line in file.read_bytes().splitlines()) // 2


def read_colmap(folder: Path, model: Path) -> Capture:
    """Shots of a COLMAP model, in its world.

    Args:
        folder: folder of the data.
        model: folder of the model.

    Raises:
        InputError: the model is damaged, of a lens that is no perspective one, or a photo is missing.
    """
    cameras, images = _read(model)
    shots = [_shot(folder, model, cameras, image) for image in sorted(images.values(), key=lambda one: one.name)]
    check_shots(model, shots)
    return Capture(model, tuple(shots))


def _read(model: Path) -> tuple[dict[int, Any], dict[int, Any]]:
    from nerfstudio.data.utils import colmap_parsing_utils as colmap

    binary = (model / "cameras.bin").is_file()
    suffix = ".bin" if binary else ".txt"
    try:
        if binary:
            _check_whole(model / "images.bin")
            return (
                colmap.read_cameras_binary(model / "cameras.bin"),
                colmap.read_images_binary(model / "images.bin"),
            )
        return _read_text_model(model)
    except InputError:
        raise
    except Exception as error:  # it raises whatever damaged bytes lead it to
        raise InputError(
            f"{model / f'cameras{suffix}'} or images{suffix} is damaged ({type(error).__name__}): {REMEDY}"
        ) from error


def _read_text_model(model: Path) -> tuple[dict[int, Any], dict[int, Any]]:
    """Cameras and images of a text model in any encoding, with names that hold spaces.

    nerfstudio's reader wants UTF-8, and cuts names at the first space.
    """
    from nerfstudio.data.utils import colmap_parsing_utils as colmap

    with temporary_folder() as folder:
        files = [folder / name for name in ("cameras.txt", "images.txt")]
        texts = [_text(model / file.name) for file in files]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
        cameras, images = colmap.read_cameras_text(files[0]), colmap.read_images_text(files[1])
    lines, names = iter(texts[1].split("\n")), {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            number, *_, name = line.split(maxsplit=9)
            names[int(number)] = name.strip()
            next(lines, "")  # its points
    return cameras, {number: image._replace(name=names[number]) for number, image in images.items()}


def _text(file: Path) -> str:
    """The text of a file in UTF-8, else in the encoding of Western Windows."""
    text = read_text(file)
    return text if UNKNOWN not in text else file.read_bytes().decode("cp1252", errors="replace")


def _check_whole(images: Path) -> None:
    """Raise an error where a binary list of images does not end where its counts say: they size the reader's memory."""
    data = images.read_bytes()
    (count,), end = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        # Behind 64 bytes of numbers stands the name, which ends with a zero, then a table of 24 bytes a row.
        end = data.index(b"\0", end + 64) + 1
        end += 8 + 24 * struct.unpack_from("<Q", data, end)[0]
    if end > len(data):
        raise EOFError(f"{images} is cut off")


def _shot(folder: Path, model: Path, cameras: dict[int, Any], image: Any) -> Shot:
    name, named = str(image.name), f"{model}: {str(image.name)[:100]!r}"
    camera = cameras.get(image.camera_id)
    if camera is None:
        raise InputError(f"{named} is by a camera that the model does not list: {REMEDY}")
    if camera.model not in PARAMETERS:
        raise InputError(
            f"{named} is by a {camera.model} camera, which head-data cannot undistort: undistort the photos "
            f"(colmap image_undistorter), or use one of {', '.join(PARAMETERS)}"
        )
    names = PARAMETERS[camera.model]
    if len(camera.params) != len(names) or not 1 <= min(camera.width, camera.height) <= LARGEST:
        raise InputError(f"{named} has a camera whose parameters are damaged: {REMEDY}")
    given = dict(zip(names, map(float, camera.params), strict=True))
    photo = _photo(folder, model, name)
    size, as_stored = counted_size(photo, (camera.width, camera.height), prefers_stored=True)
    lens = lens_of(
        (given.get("fx", given.get("f", 0.0)), given.get("fy", given.get("f", 0.0))),
        (given["cx"], given["cy"]),
        (camera.width, camera.height),
        [given.get(key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")],
        named,
    )
    rotation, translation = _rotation(image.qvec, named), np.asarray(image.tvec, dtype=np.float64)
    if translation.shape != (3,) or not np.isfinite(translation).all() or np.abs(translation).max() > LARGEST:
        raise InputError(f"{named} has a position that is not finite: {REMEDY}")
    lens = lens if (camera.width, camera.height) == size else lens.resized(*size)
    return Shot(name, photo, find_mask(photo), lens, as_stored, rotation, -rotation.T @ translation)


def _rotation(quaternion: np.ndarray, named: str) -> np.ndarray:
    from nerfstudio.data.utils.colmap_parsing_utils import qvec2rotmat

    length = float(np.linalg.norm(quaternion)) if len(quaternion) == 4 else 0.0
    if not 0.9 < length < 1.1:  # NaN fails too
        raise InputError(f"{named} has a quaternion that is no rotation: {REMEDY}")
    return qvec2rotmat(np.asarray(quaternion) / length)


def _photo(folder: Path, model: Path, name: str) -> Path:
    bases = _bases(folder, model)
    places = [base / place for base in bases for place in ("images", "")]
    if folder == model and not places[0].is_dir():  # in a folder of any name, beside that of its photos
        places.append(bases[0].parent / "images")
    try:
        found = next((file for place in places for one in spellings(name) if (file := place / one).is_file()), None)
    except (OSError, ValueError):
        found = None
    if found is None:
        raise InputError(
            f"{model} names the photo {name[:200]!r}, which is missing: put its photos into {bases[-1] / 'images'}"
        )
    return found


def _bases(folder: Path, model: Path) -> list[Path]:
    """Folders that may hold the photos of a model, the nearest first: up to that of the data, or of its project.

    Folders further up may hold another person's photos under the same names.
    """
    data, base = Path(os.path.abspath(folder)), Path(os.path.abspath(model))
    bases = [base]
    while base.name != UNDISTORTED and (data in base.parents or PARTS[0] == base.parent.name or base.name in PARTS):
        base = base.parent
        bases.append(base)
    return bases
